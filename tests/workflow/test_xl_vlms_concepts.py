"""Concept dictionaries from captions to tables, on a part of the embedded default (xl_vlms.md 11, checks 13, 17)."""

import polars as pl
import pytest
from checkout import Checkout

from vlmscope.store import tables
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries import schemas as cox_schemas

HOME = "results/xl_vlms/llava15"
FILES = {
    "cox_table1": cox_schemas.TABLE1,
    "cox_layers": cox_schemas.LAYERS,
    "cox_fig3": cox_schemas.FIG3,
    "cox_table2_overlap": cox_schemas.OVERLAP,
    "stability": cox_schemas.STABILITY,
    "concept_classes": cox_schemas.CLASSES,
    "faithful": cox_schemas.FAITHFUL,
}
RELEASED = f"{HOME}/released/analysis/dog-snmf.pth"
TARGETS = (*(f"{HOME}/{name}.csv" for name in FILES), RELEASED)
IMPORTED = f"{HOME}/dictionaries/imported/dog.h5"
LESS = (
    "datasets.coco.scenes={train: 800, val: 240}; datasets.coco.limit={train: 800, val: 240}; "
    "xl_vlms.dictionaries.sets=[dog]; xl_vlms.dictionaries.sweep=[2, 10]; xl_vlms.dictionaries.bootstrap=200"
)
WORDS = {"xl_vlms_decompose": 1, "xl_vlms_score": 1, "xl_vlms_cox": 1, "xl_vlms_concepts": 1}


@pytest.fixture(scope="module")
def decomposed(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the dictionaries of one word were made and judged."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("decomposed") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1", overlays=checkout.overlays(LESS))
    return checkout


def read(checkout: Checkout, name: str) -> pl.DataFrame:
    return tables.read(checkout.folder / HOME / f"{name}.csv", FILES[name])


@pytest.mark.slow
def test_words_of_concepts_fit_pictures_better_than_random_words_and_worse_than_captions(decomposed):
    found = read(decomposed, "cox_table1").filter(metric="CS", top_k=1)
    for method in ("snmf", "kmeans"):
        assert found.filter(method=method)["over_random_low"].item() > 0, method
    assert found.filter(method="caption")["mean"].item() > found.filter(method="snmf")["mean"].item()
    grounded = read(decomposed, "cox_fig3").filter(metric="CS", method="snmf")
    assert (grounded["grounded"] > grounded["random"]).mean() > 0.6


@pytest.mark.slow
def test_concepts_say_the_word_late_and_less_early(decomposed):
    found = {row["module"]: row for row in read(decomposed, "cox_layers").iter_rows(named=True)}
    assert found["final_norm"]["own_word"] > 0.8 > found["block.0"]["own_word"]
    assert found["block.2"]["low"] > found["block.2"]["random"]
    assert found["block.2"]["clipscore"] > found["block.0"]["clipscore"]


@pytest.mark.slow
def test_concepts_follow_what_the_pictures_show(decomposed):
    found = read(decomposed, "concept_classes").filter(method="snmf")
    for kind in ("colour", "position"):
        row = found.filter(kind=kind).row(0, named=True)
        assert row["nmi_low"] > row["nmi_shuffled"] and row["top_purity_low"] > row["top_purity_shuffled"]
        assert row["nmi"] > row["nmi_random_directions"]


@pytest.mark.slow
def test_the_most_active_concept_carries_the_word(decomposed):
    found = read(decomposed, "faithful").filter(method="snmf", concepts=1)
    told = {(row["edit"], row["which"]): row for row in found.iter_rows(named=True)}
    assert told["delete", "most_active"]["high"] < told["delete", "random_concepts"]["low"]
    assert told["keep", "most_active"]["probability"] > told["keep", "random_concepts"]["probability"]
    assert told["delete", "random_directions"]["probability"] > 0.8 > told["keep", "random_directions"]["probability"]


@pytest.mark.slow
def test_dictionaries_of_parts_of_the_samples_are_alike_beyond_random_samples(decomposed):
    found = read(decomposed, "stability").filter(kind="subsamples", method="snmf").row(0, named=True)
    assert found["low"] > found["random_samples"] > found["random_directions"]


@pytest.mark.slow
def test_a_released_dictionary_is_the_same_when_it_is_read_again(decomposed):
    change = f"{LESS}; xl_vlms.dictionaries.imported.llava15.dog={RELEASED}"
    decomposed.run(IMPORTED, "--cores", "1", overlays=decomposed.overlays(change))
    own, again = (decomposed.folder / path for path in (f"{HOME}/dictionaries/dog.h5", IMPORTED))
    (key,) = dictionary_files.keys(again)
    one, other = (dictionary_files.read(path, key) for path in (own, again))
    assert (one.dictionary.concepts == other.dictionary.concepts).all() and one.words == other.words
    assert (abs(one.held_out - other.held_out) < 1e-3).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("xl_vlms.dictionaries.scores.weight=1.0", {"xl_vlms_score": 1, "xl_vlms_cox": 1}),
        ("xl_vlms.dictionaries.k=5", {**WORDS, "xl_vlms_export_dictionary": 1}),
        ("xl_vlms.dictionaries.shuffles=5", {}),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(decomposed, change, again):
    planned = decomposed.planned(f"{LESS}; {change}", TARGETS)
    assert {name: count for name, count in planned.items() if count} == again
