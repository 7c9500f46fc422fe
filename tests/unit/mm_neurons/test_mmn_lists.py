import h5py
import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons

RECIPE = {"keep": 3}


def neurons(seed=0, k=3):
    drawn = np.random.default_rng(seed)
    score = np.sort(drawn.standard_normal(k)).astype(np.float32)[::-1]
    return Neurons(drawn.integers(0, 40, k), drawn.integers(0, 13824, k), score, drawn.random(k) < 0.5)


def entries(count, method="contribution"):
    return [Entry("act_fn", method, f"sbu-train-{number}", "dog/cät", neurons(number)) for number in range(count)]


def test_a_list_that_says_nothing_of_signs_has_none_below_zero(tmp_path):
    given = [Entry("act_fn", "contribution", "a", "dog", neurons()._replace(negative=None))]
    lists.write(tmp_path / "a.h5", given, RECIPE)
    assert lists.read(tmp_path / "a.h5", "act_fn", "contribution")["a", "dog"].negative.tolist() == [False] * 3


@pytest.mark.parametrize("count", [1, 5, lists.BLOCK, lists.BLOCK + 1, 3 * lists.BLOCK])
def test_lists_come_back_as_they_were_written(tmp_path, count):
    given = entries(count)
    lists.write(tmp_path / "a.h5", iter(given), RECIPE)
    found = lists.read(tmp_path / "a.h5", "act_fn", "contribution")
    assert list(found) == [(one.sample, one.noun) for one in given]
    for one in given:
        for name, kind in lists.TYPES.items():
            kept = getattr(found[one.sample, one.noun], name)
            assert kept.dtype == kind
            np.testing.assert_array_equal(kept, getattr(one.neurons, name))
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_methods_stand_apart_and_the_file_says_what_it_holds(tmp_path):
    short = [one._replace(neurons=neurons(9, k=1)) for one in entries(2, "random")]
    lists.write(tmp_path / "a.h5", entries(4) + short, RECIPE, [("act_fn", "multi_token")])
    assert lists.about(tmp_path / "a.h5") == {
        "recipe": RECIPE,
        "lists": {
            "act_fn": {
                "contribution": {"nouns": 4, "keep": 3},
                "multi_token": {"nouns": 0, "keep": 0},
                "random": {"nouns": 2, "keep": 1},
            }
        },
    }
    assert lists.read(tmp_path / "a.h5", "act_fn", "multi_token") == {}
    assert len(lists.read(tmp_path / "a.h5", "act_fn", "random")) == 2


def test_the_best_ones_can_be_read_alone(tmp_path):
    lists.write(tmp_path / "a.h5", entries(2), RECIPE)
    every, best = (lists.read(tmp_path / "a.h5", "act_fn", "contribution", k) for k in (None, 2))
    for key, one in every.items():
        for whole, part in zip(one, best[key], strict=True):
            np.testing.assert_array_equal(whole[:2], part)


def test_an_unknown_method_is_answered_with_the_known_ones(tmp_path):
    lists.write(tmp_path / "a.h5", entries(1), RECIPE)
    with pytest.raises(VlmscopeError, match=r"no lists of 'gradient' for 'act_fn'[\s\S]*contribution for act_fn"):
        lists.read(tmp_path / "a.h5", "act_fn", "gradient")


def test_a_noun_is_listed_once(tmp_path):
    with pytest.raises(VlmscopeError, match="listed twice"):
        lists.write(tmp_path / "a.h5", entries(1) + entries(1), RECIPE)
    assert not list(tmp_path.iterdir())


def test_lists_of_one_method_are_of_one_length(tmp_path):
    uneven = [entries(1)[0], entries(2)[1]._replace(neurons=neurons(1, k=2))]
    with pytest.raises(VlmscopeError, match="differ in length"):
        lists.write(tmp_path / "a.h5", uneven, RECIPE)


@pytest.mark.parametrize("layer, unit", [([256], [0]), ([0], [65536]), ([-1], [0])])
def test_numbers_that_the_file_cannot_hold_are_refused(tmp_path, layer, unit):
    wrong = Neurons(np.array(layer), np.array(unit), np.zeros(1, np.float32))
    with pytest.raises(VlmscopeError, match="lists hold up to"):
        lists.write(tmp_path / "a.h5", [Entry("act_fn", "contribution", "s", "n", wrong)], RECIPE)


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "incomplete"])
def test_a_file_that_is_not_whole_is_refused(tmp_path, damage):
    path = tmp_path / "a.h5"
    lists.write(path, entries(3), RECIPE)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        with h5py.File(path, "r+") as file:
            file.attrs["format" if damage == "other" else "complete"] = "vlmscope.shard/1" if damage == "other" else 0
    with pytest.raises(VlmscopeError, match="snakemake"):
        lists.read(path, "act_fn", "contribution")
