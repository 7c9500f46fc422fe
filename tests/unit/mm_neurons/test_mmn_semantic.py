import numpy as np
import polars as pl
import pytest

from vlmscope.mm_neurons.measures import semantic, sets
from vlmscope.mm_neurons.measures.sets import LOWER, WIDTH, Sets
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.mm_neurons.schemas import CAPTIONS, NEURON_TOKENS, NOUNS, SIMILARITIES
from vlmscope.stats import Draws
from vlmscope.store import tables

DRAWS = Draws(200, 0)
# Neuron -> its tokens, best first.
WORDS = {
    (0, 0): ["dog", " Dogs", "", "run"],
    (0, 1): ["cat", "care", "x", "y"],
    (1, 0): ["car", "dog", "a", "b"],
    (1, 1): ["cats", "the", "c", "d"],
}
IDS = {text: 10 + k for k, text in enumerate(sorted({text for texts in WORDS.values() for text in texts} | {"bird"}))}
TOKENS = pl.DataFrame(
    [
        (layer, unit, end, rank, IDS[text], text, 1.0)
        for end in ("top", "bottom")
        for (layer, unit), texts in WORDS.items()
        for rank, text in enumerate(texts if end == "top" else ["bird"] * 4)
    ],
    schema=NEURON_TOKENS,
    orient="row",
)
A, B, C, D = 0, 1, WIDTH, WIDTH + 1


def test_a_noun_s_writers_have_it_in_any_case_and_number():
    found = semantic.writers(TOKENS, ["dog", "Cats", "car", "bird"])
    assert {noun: one.tolist() for noun, one in found.items()} == {
        "dog": [A, C],
        "Cats": [B, D],
        "car": [C],
        "bird": [LOWER + end for end in (A, B, C, D)],
    }


def test_a_token_s_writers_have_exactly_it():
    found = semantic.writers_of_tokens(TOKENS, [IDS["dog"], IDS[" Dogs"], IDS["bird"], 999])
    assert {token: one.tolist() for token, one in found.items()} == {
        IDS["dog"]: [A, C],
        IDS[" Dogs"]: [A],
        IDS["bird"]: [LOWER + end for end in (A, B, C, D)],
        999: [],
    }


CHOSEN = Sets((("a", "dog"), ("a", "cat"), ("b", "Dog")), np.array([[A, B, C], [C, B, D], [B, D, A]]))


def test_matches_by_hand():
    having = semantic.writers(TOKENS, ["dog", "cat", "Dog"])
    found = semantic.matches(CHOSEN, [having[noun] for _, noun in CHOSEN.keys])
    assert found.tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 1]]
    row = semantic.measured(found, CHOSEN.images, 2, DRAWS)
    # Image a: dog 1/2, cat 1/2; image b: 0.
    assert row["value"] == pytest.approx((0.5 + 0) / 2)
    assert (row["n"], row["nouns"]) == (2, 3)


KNOWN = pl.DataFrame(
    [(A, "dog", 0.5, 0.25, None), (B, "dog", 0.1, None, 1.0), (C, "cat", 0.2, 0.5, 2.0), (B, "cat", 0.4, 0.5, 2.0)],
    schema={name: kind for name, kind in SIMILARITIES.items() if name != "ref"},
    orient="row",
)


def test_scores_are_looked_up_by_neuron_and_reference():
    found = semantic.scored(CHOSEN, ["dog", "cat", None], KNOWN)
    np.testing.assert_allclose(found["bertscore"], [[0.5, 0.1, np.nan], [0.2, 0.4, np.nan], [np.nan] * 3], rtol=1e-6)
    np.testing.assert_allclose(found["moverscore"], [[0.25, np.nan, np.nan], [0.5, 0.5, np.nan], [np.nan] * 3])


def test_what_is_not_known_is_left_out_of_means():
    values = semantic.scored(CHOSEN, ["dog", "cat", None], KNOWN)
    row = semantic.measured(values["moverscore"], CHOSEN.images, 2, DRAWS)
    assert row["value"] == pytest.approx((0.25 + 0.5) / 2)
    assert (row["n"], row["nouns"]) == (1, 2)
    assert semantic.measured(values["moverscore"], CHOSEN.images, 4, DRAWS) == {"n": 0, "nouns": 0}


def test_a_folder_s_name_stands_for_its_model_and_stand_ins_say_so():
    found = semantic.scorers({"bertscore": "/models/roberta-large", "moverscore": "", "bleurt": ""})
    assert found["bertscore"] == "roberta-large"
    assert found["moverscore"].startswith("stand_in_")
    assert found["bleurt"] == "stand_in_embedding_cosine"


@pytest.fixture
def files(tmp_path):
    """Paths of everything that the tables are made of."""
    captions = [
        {"sample": "a", "caption": "a dog and a cat", "tokens": [1], "reference": "pets", "row": 0},
        {"sample": "b", "caption": "Dog", "tokens": [1], "reference": "a dog", "row": 1},
    ]
    nouns = [
        {"sample": sample, "noun": noun, "tokens": [IDS[token]], "token": IDS[token], "status": status}
        for sample, noun, token, status in [
            ("a", "dog", "dog", "kept"),
            ("a", "cat", "cat", "kept"),
            ("b", "Dog", " Dogs", "kept"),
            ("b", "x", "x", "not written so"),
        ]
    ]
    known = [
        {"neuron": neuron, "ref": ref, "reference": text, "bertscore": 0.01 * place, "moverscore": 0.5, "bleurt": -1.0}
        for place, (ref, text, neuron) in enumerate(
            [("noun", text, neuron) for text in ("dog", "cat", "Dog") for neuron in (A, B, C, D)]
            + [("dataset", text, neuron) for text in ("pets", "a dog") for neuron in (A, B, C, D)]
        )
    ]
    made = {}
    for name, rows, schema in (
        ("captions", captions, CAPTIONS),
        ("nouns", nouns, NOUNS),
        ("similarities", known, SIMILARITIES),
    ):
        made[name] = str(tmp_path / f"{name}.parquet")
        tables.write(pl.DataFrame(rows, schema=schema), made[name], schema)
    made["tokens"] = str(tmp_path / "tokens.parquet")
    tables.write(TOKENS, made["tokens"], NEURON_TOKENS)
    path = str(tmp_path / "neurons.h5")
    entries = [
        Entry("act_fn", "contribution", *key, Neurons(row // WIDTH, row % WIDTH, row.astype(np.float32)))
        for key, row in zip(CHOSEN.keys, CHOSEN.neurons, strict=True)
    ]
    lists.write(path, entries, {}, [("act_fn", "contribution"), ("act_fn", "multi_token")])
    return path, made


SETTINGS = {
    **{"k": [1, 3], "ends": "signed", "references": ["noun", "dataset"], "texts": 2, "bootstrap": 100, "seed": 0},
    **{"bertscore": "", "moverscore": "", "bleurt": ""},
}


def test_tables_from_files(files):
    path, made = files
    table, long = semantic.from_files([path], **made, settings=SETTINGS)
    assert dict(table.schema) == semantic.SEMANTIC
    assert dict(long.schema) == semantic.LONG
    assert table.select("method", "k", "ref").rows() == [
        (method, k, ref) for method in ("contribution", "multi_token") for ref in ("noun", "dataset") for k in (1, 3)
    ]
    first = table.row(0, named=True)
    # The best neuron of each noun: A of dog, C of cat, B of Dog.
    assert first["bertscore"] == pytest.approx(((0.00 + 0.06) / 2 + 0.09) / 2, abs=1e-6)
    assert first["match_at_k"] == pytest.approx((0.5 + 0) / 2)
    assert first["n"] == 2
    assert first["bertscore_by"] == "stand_in_embedding_f1"
    # Beyond the neurons whose texts were scored only matches are known.
    second = table.row(1, named=True)
    assert second["bertscore"] is None
    assert second["match_at_k"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    dataset = table.row(2, named=True)
    assert dataset["bertscore"] == pytest.approx(((0.12 + 0.14) / 2 + 0.17) / 2, abs=1e-6)
    assert dataset["match_at_k"] is None
    assert table["paper"].is_null().all()
    tokens = long.filter(measure="match_token", k=3, method="contribution")
    assert tokens["value"].to_list() == [pytest.approx((2 / 3 + 1 / 3) / 2 / 2 + (1 / 3) / 2)]
    assert table.filter(method="multi_token")["n"].to_list() == [0, 0, 0, 0]


@pytest.mark.parametrize(("ends", "matching"), [("signed", 1.0), ("top", 0.0)])
def test_a_neuron_below_zero_writes_what_stands_at_its_lower_end(files, tmp_path, ends, matching):
    path, made = tmp_path / "below.h5", files[1]
    below = Neurons(np.array([0]), np.array([0]), np.ones(1, np.float32), np.array([True]))
    lists.write(path, [Entry("act_fn", "contribution", "a", "bird", below)], {})
    tokens = {"sample": "a", "noun": "bird", "tokens": [IDS["bird"]], "token": IDS["bird"], "status": "kept"}
    tables.write(pl.DataFrame([tokens], schema=NOUNS), made["nouns"], NOUNS)
    settings = {**SETTINGS, "k": [1], "references": ["noun"], "ends": ends}
    table, long = semantic.from_files([str(path)], **made, settings=settings)
    (row,) = table.iter_rows(named=True)
    assert (row["ends"], row["match_at_k"], row["match_top"]) == (ends, matching, 0.0)
    assert long.filter(measure="match_token")["value"].item() == matching


def test_the_long_table_has_an_interval_for_every_measure(files):
    path, made = files
    _, long = semantic.from_files([path], **made, settings=SETTINGS)
    known = long.filter(pl.col("n") > 0)
    assert set(known["measure"]) == {*semantic.SCORES, *semantic.MATCHES}
    assert (known["ci_low"] <= known["value"] + 1e-12).all()
    assert (known["value"] <= known["ci_high"] + 1e-12).all()
    assert sets.frame([], semantic.LONG).height == 0
