import numpy as np
import polars as pl
import pytest

from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons


def neurons(*places):
    layer, unit = zip(*places, strict=True)
    return Neurons(np.array(layer, np.uint8), np.array(unit, np.uint16), np.zeros(len(layer), np.float32))


def test_a_noun_that_differs_only_by_case_stands_once_and_keeps_its_spelling():
    found = sets.of({("a", "Dog"): neurons((0, 1)), ("a", "dog"): neurons((2, 2)), ("b", "dog"): neurons((1, 65535))})
    assert found.keys == (("a", "Dog"), ("b", "dog"))
    assert found.images.tolist() == ["a", "b"]
    assert found.nouns.tolist() == ["dog", "dog"]
    assert found.neurons.tolist() == [[1], [sets.WIDTH + 65535]]
    assert len(found) == 2
    assert found.keep == 1


def test_ends_follow_the_sign_only_when_they_are_asked_to():
    one = neurons((0, 1), (2, 2))._replace(negative=np.array([False, True]))
    found = sets.of({("a", "dog"): one, ("b", "cat"): neurons((1, 0), (0, 0))})
    lower = sets.LOWER + 2 * sets.WIDTH + 2
    assert found.ends("top").neurons.tolist() == found.neurons.tolist()
    assert found.ends("signed").neurons.tolist() == [[1, lower], [sets.WIDTH, 0]]
    assert found.only(np.array([True, False])).ends("signed").neurons.tolist() == [[1, lower]]


def test_no_list_is_an_empty_set():
    found = sets.of({})
    assert (len(found), found.keep) == (0, 0)


def test_lists_are_read_by_kind_in_the_order_of_tables(tmp_path):
    one, other = tmp_path / "one.h5", tmp_path / "other.h5"
    entries = [
        Entry(activation, method, "a", "dog", neurons((0, 1), (1, 2), (2, 3)))
        for activation in ("act_fn", "down_proj_input")
        for method in ("random", "contribution", "contribution_negative")
    ]
    lists.write(one, entries, {})
    lists.write(other, [Entry("down_proj_input", "gradient", "a", "dog", neurons((0, 1), (1, 2), (2, 3)))], {})
    found = sets.read([str(one), str(other)], 2)
    assert list(found) == [
        ("act_fn", "contribution"),
        ("act_fn", "random"),
        ("act_fn", "contribution_negative"),
        ("down_proj_input", "contribution"),
        ("down_proj_input", "gradient"),
        ("down_proj_input", "random"),
        ("down_proj_input", "contribution_negative"),
    ]
    assert {one.keep for one in found.values()} == {2}


def test_neurons_in_common_are_those_of_sets():
    generator = np.random.default_rng(0)
    one = np.stack([generator.permutation(40)[:12] for _ in range(7)]) * sets.WIDTH
    other = np.stack([generator.permutation(40)[:12] for _ in range(5)]) * sets.WIDTH
    found = sets.shared(one, other)
    assert found.tolist() == [[len(set(a.tolist()) & set(b.tolist())) for b in other] for a in one]
    assert np.diag(sets.shared(one, one)).tolist() == [12] * 7


def test_means_by_image_leave_out_what_is_not_known():
    values, images = np.array([1.0, np.nan, 3.0, np.nan, 5.0]), np.array(["a", "a", "b", "c", "b"])
    assert sets.by_image(values, images).tolist() == [1.0, 4.0]


def test_the_shape_of_the_model_is_that_of_its_decoded_neurons(tmp_path):
    path = tmp_path / "tokens.parquet"
    pl.DataFrame({"layer": [0, 2, 1], "unit": [4, 0, 3]}).write_parquet(path)
    assert sets.shape(str(path)) == (3, 5)


def test_what_is_no_number_is_an_empty_cell():
    schema = {"a": pl.Float64, "n": pl.Int64, "paper": pl.Float64}
    found = sets.frame([{"a": np.nan, "n": 0}, {"a": np.float64(0.5), "n": 2}], schema)
    assert found.rows() == [(None, 0, None), (0.5, 2, None)]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_best_are_at_most_what_is_listed(k):
    found = sets.of({("a", "dog"): neurons((0, 1), (1, 2))})
    assert found.best(k).shape == (1, min(k, 2))
