import math

import numpy as np
import polars as pl
import pytest

from vlmscope.mm_neurons.measures import compare
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons


def listed(numbers):
    """A list of units of layer 1, best first."""
    units = np.array(numbers)
    return Neurons(np.ones(len(units), int), units, -np.arange(len(units), dtype=np.float32))


def table(one, other, k=(1, 2, 4)):
    return compare.rows([one, other], "contribution", k, 50, 0)


def test_overlap_is_the_share_of_the_best_that_both_have():
    found = table({("a", "dog"): listed([1, 2, 3, 4])}, {("a", "dog"): listed([2, 1, 9, 8])})
    assert found["overlap"].to_list() == [0.0, 1.0, 0.5]
    assert found["n"].to_list() == [1, 1, 1]
    assert dict(found.schema) == compare.TABLE


def test_an_image_counts_once_however_many_nouns_it_has():
    same, apart = listed([1]), listed([2])
    one = {("a", "x"): same, ("a", "y"): same, ("a", "z"): same, ("b", "x"): same}
    other = {key: apart if key == ("b", "x") else same for key in one}
    found = table(one, other, k=(1,)).row(0, named=True)
    assert (found["overlap"], found["n_images"], found["n"]) == (0.5, 2, 4)
    assert 0 <= found["ci_low"] <= 0.5 <= found["ci_high"] <= 1


@pytest.mark.parametrize(("order", "wanted"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], -1.0), ([2, 1, 4, 3], 0.6)])
def test_ranks_are_correlated_over_the_neurons_of_both_lists(order, wanted):
    one, other = [9, *range(1, 5), 11], [*order, 12, 13]
    found = compare.correlation(np.array(one), np.array(other))
    assert found == (pytest.approx(wanted), 4)


def test_it_is_spearmans():
    from scipy.stats import spearmanr

    drawn = np.random.default_rng(3)
    one, other = drawn.permutation(60), drawn.permutation(60)
    places = [np.argsort(order) for order in (one, other)]
    assert compare.correlation(one, other)[0] == pytest.approx(spearmanr(*places)[0])


def test_lists_that_are_too_short_are_not_counted():
    found = table({("a", "dog"): listed([1, 2])}, {("a", "dog"): listed([1, 3])}, k=(2, 3))
    assert found["n"].to_list() == [1, 0]
    assert math.isnan(found["overlap"][1]) and math.isnan(found["ci_low"][1])
    assert math.isnan(found["rank_correlation"][0]) and found["listed_in_both"][0] == 1


def test_neurons_of_equal_number_in_other_layers_are_different_ones():
    other = Neurons(np.array([2]), np.array([1]), np.zeros(1, np.float32))
    assert table({("a", "dog"): listed([1])}, {("a", "dog"): other}, k=(1,))["overlap"].to_list() == [0.0]


def written(path, activations):
    entries = [
        Entry(activation, method, "a", "dog", listed([1, 2, 3]))
        for activation in activations
        for method in compare.METHODS
    ]
    lists.write(path, entries, {})
    return compare.from_files(path, k=[1, 3], bootstrap=20, seed=0)


def test_a_file_gives_a_row_per_method_and_size(tmp_path):
    found = written(tmp_path / "a.h5", compare.PAIR)
    assert found.select("method", "k").rows() == [(method, k) for method in compare.METHODS for k in (1, 3)]
    assert (found["overlap"] == 1).all() and (found["rank_correlation"] == 1).all()


def test_with_one_activation_there_is_nothing_to_compare(tmp_path):
    found = written(tmp_path / "a.h5", compare.PAIR[:1])
    assert found.is_empty() and dict(found.schema) == compare.TABLE


def test_without_a_noun_every_value_is_unknown(tmp_path):
    kinds = [(activation, method) for activation in compare.PAIR for method in compare.METHODS]
    lists.write(tmp_path / "a.h5", [], {}, kinds)
    found = compare.from_files(tmp_path / "a.h5", k=[1], bootstrap=20, seed=0)
    assert found["n"].to_list() == [0, 0, 0]
    assert found.select(pl.col("overlap", "ci_low", "rank_correlation").is_nan().all()).row(0) == (True, True, True)
