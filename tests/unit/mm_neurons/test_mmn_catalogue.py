"""Examples and catalogue of a made-up model."""

import mmn_results
import polars as pl
import pytest
from mmn_results import SAID, TEXTS, UNITS

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.look import catalogue, examples
from vlmscope.mm_neurons.rank import lists
from vlmscope.store import tables

SETTINGS = {"k": 4, "listed": 3}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return mmn_results.make(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def found(results):
    return catalogue.from_files(nouns=results.nouns, tokens=results.tokens, neurons=results.neurons, settings=SETTINGS)


def row(frame, **key):
    rows = frame.filter(**key)
    assert len(rows) == 1
    return rows.row(0, named=True)


# ---- examples ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(results):
    return examples.from_files(captions=results.captions, tokens=results.tokens, neurons=[results.neurons], k=3)


def test_examples_are_the_best_of_every_list_with_their_words(results, shown):
    every = {kind: lists.read(results.neurons, *kind) for kind in (("act_fn", "contribution"), ("act_fn", "random"))}
    for (activation, method), found in every.items():
        for (sample, noun), one in found.items():
            rows = shown.filter(image_id=sample, noun=noun, activation=activation, method=method)
            assert rows["rank"].to_list() == [1, 2, 3]
            for name in ("layer", "unit", "score", "negative"):
                assert rows[name].to_list() == getattr(one, name)[:3].tolist()
    first = shown.row(0, named=True)
    place = first["layer"] * UNITS + first["unit"]
    assert first["tokens"] == "|".join(TEXTS[(place + rank) % len(TEXTS)] for rank in range(4))


def test_examples_stand_in_the_order_of_the_captions_and_of_other_tables(shown):
    assert shown["image_id"].unique(maintain_order=True).to_list() == [f"sbu-train-{number}" for number in (0, 1, 3)]
    assert shown.filter(image_id="sbu-train-3")["noun"].unique(maintain_order=True).to_list() == ["<b>", "Dog", "dog"]
    one = shown.filter(image_id="sbu-train-0", noun="cat")
    assert one["activation"].unique(maintain_order=True).to_list() == ["act_fn", "down_proj_input"]
    assert one["method"].unique(maintain_order=True).to_list() == ["contribution", "random"]
    assert set(shown["caption"]) == {SAID[number][0] for number in (0, 1, 3)}


def test_a_method_without_nouns_does_not_disturb_the_others(results, shown, tmp_path):
    lists.write(tmp_path / "none.h5", [], {}, [("act_fn", "multi_token")])
    paths = [results.neurons, str(tmp_path / "none.h5")]
    found = examples.from_files(captions=results.captions, tokens=results.tokens, neurons=paths, k=3)
    assert found.equals(shown)


def test_a_model_without_nouns_has_no_examples(results, tmp_path):
    lists.write(tmp_path / "none.h5", [], {}, [("act_fn", "contribution")])
    found = examples.from_files(
        captions=results.captions, tokens=results.tokens, neurons=[str(tmp_path / "none.h5")], k=3
    )
    assert found.is_empty() and dict(found.schema) == examples.EXAMPLES


# ---- catalogue ---------------------------------------------------------------------------------------------------


def test_a_noun_is_one_row_per_activation_whatever_its_case(found):
    table = found["catalogue"]
    assert table["noun"].to_list() == ["<b>", "<b>", "cat", "cat", "dog", "dog"], "dropped nouns have no neurons"
    one = row(table, noun="dog", activation="act_fn")
    assert (one["images"], one["shown"], one["absent"], one["k"]) == (3, 2, 1, 4)
    # Nobody knows whether the picture shows it.
    unknown = row(table, noun="<b>", activation="act_fn")
    assert (unknown["images"], unknown["shown"], unknown["absent"]) == (1, None, None)


def test_neurons_are_counted_over_images(found, results):
    best = lists.read(results.neurons, "act_fn", "contribution", 4)
    wanted = {}
    for number, noun in ((0, "dog"), (1, "dog"), (3, "Dog")):
        one = best[f"sbu-train-{number}", noun]
        for rank, neuron in enumerate(zip(one.layer.tolist(), one.unit.tolist(), strict=True), 1):
            wanted.setdefault(neuron, []).append((number, rank))
    rows = found["neurons"].filter(noun="dog", activation="act_fn")
    assert rows["place"].to_list() == [1, 2, 3]
    for one in rows.iter_rows(named=True):
        seen = wanted[one["layer"], one["unit"]]
        assert one["images"] == len(seen) and one["share"] == len(seen) / 3
        assert one["mean_rank"] == pytest.approx(sum(rank for _, rank in seen) / len(seen))
        # The thing is not in the first picture.
        assert one["absent"] == sum(number == 0 for number, _ in seen)
        assert one["shown"] == len(seen) - one["absent"]
    order = rows.select("images", "mean_rank").rows()
    assert order == sorted(order, key=lambda pair: (-pair[0], pair[1]))


def test_stable_neurons_are_those_of_half_of_the_images(found):
    one = row(found["catalogue"], noun="dog", activation="act_fn")
    # All three images have the same list.
    assert one["stable"] == 4
    assert len(one["neurons"].split()) == SETTINGS["listed"]
    rows = found["neurons"].filter(noun="dog", activation="act_fn")
    assert one["neurons"].split() == [f"L{layer}.u{unit}" for layer, unit in rows.select("layer", "unit").iter_rows()]


def test_made_up_nouns_have_neurons_of_their_own_column(found):
    table = found["catalogue"]
    assert row(table, noun="dog", activation="act_fn")["absent_neurons"] is not None
    assert row(table, noun="cat", activation="act_fn")["absent_neurons"] is None


def test_neurons_that_decode_to_the_noun_are_found_in_the_whole_model(found):
    # "dog" and "Dog " are tokens 0 and 1; neuron p has the four tokens from p on, and from 10 on they begin anew.
    places = [place for place in range(2 * UNITS) if place % 10 in (0, 1, 7, 8, 9)]
    wanted = {f"L{place // UNITS}.u{place % UNITS}" for place in places}
    named = row(found["catalogue"], noun="dog", activation="act_fn")["decoding"].split()
    assert set(named) <= wanted and len(named) == 3 and named[0] == "L0.u0"
    for one in found["neurons"].filter(noun="dog").iter_rows(named=True):
        assert one["writes"] == (f"L{one['layer']}.u{one['unit']}" in wanted)


def test_tables_can_be_written_and_read(found, tmp_path):
    for name, schema in (("catalogue", catalogue.CATALOGUE), ("neurons", catalogue.NEURONS)):
        tables.write(found[name], tmp_path / f"{name}.csv", schema)
        assert tables.read(tmp_path / f"{name}.csv", schema).equals(
            found[name].with_columns(pl.col(pl.String).replace("", None))
        )


def test_lists_without_contributions_are_refused(results, tmp_path):
    lists.write(tmp_path / "other.h5", [], {}, [("act_fn", "random")])
    with pytest.raises(VlmscopeError, match="no lists of 'contribution'"):
        catalogue.ranked(str(tmp_path / "other.h5"), 4)
