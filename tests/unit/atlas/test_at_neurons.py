"""Overlap of domain neurons and words' neurons: planted ones are found, those of equal layers alone are not."""

import itertools

import numpy as np
import polars as pl
import pytest

from vlmscope import stats
from vlmscope.atlas import chance, neurons
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.rank.lists import Neurons

SHAPE = (3, 40)
DRAWS = stats.Draws(50, 0)


def members(units, pictures=6):
    """The same neurons in every picture."""
    row = np.zeros(SHAPE, bool)
    for layer, unit in units:
        row[layer, unit] = True
    return np.repeat(row.reshape(1, -1), pictures, 0)


def domain(units):
    return members(units)[0].reshape(SHAPE)


def row(table, **which):
    return table.filter(**which).row(0, named=True)


def test_chances_are_those_of_counting_every_set():
    sizes = [(5, 2, 3), (4, 2, 1)]
    counts = np.zeros(5)
    parts = [[set(one) for one in itertools.combinations(range(n), m)] for n, _, m in sizes]
    for one, other in itertools.product(*parts):
        counts[len(one & {0, 1}) + len(other & {0, 1})] += 1
    counts = counts / counts.sum()
    found = chance.overlap(sizes)
    assert found == pytest.approx(counts[: len(found)])
    mean, low, high = chance.middle(found)
    assert mean == pytest.approx(3 * 2 / 5 + 1 * 2 / 4) and 0 <= low <= mean <= high
    assert chance.two_sided(found, 0) == pytest.approx(min(1, 2 * found[0]))


def test_planted_overlap_is_found_and_is_that_of_its_word_and_domain():
    planted = [(1, unit) for unit in range(8)]
    words = {"dog": members(planted), "cat": members([(1, unit) for unit in range(20, 28)])}
    domains = {"any": domain(planted), "med": domain(planted), "rs": domain([(0, 3)])}
    table = neurons.table(domains, words, SHAPE, DRAWS)
    found = row(table, word="dog", domain="med", layer="all")
    assert (found["both"], found["expected"]) == (8, pytest.approx(8 * 8 / 40)) and found["q"] < 1e-4
    assert found["ratio"] == found["ratio_low"] == pytest.approx(5) and found["both"] > found["random_high"]
    assert row(table, word="cat", domain="med", layer="all")["both"] == 0
    assert row(table, word="dog", domain="med", layer="0")["ratio"] is None
    assert row(table, word="all", domain="med", layer="1")["word_neurons"] == 16
    assert len(table) == 3 * 3 * 4 and table.schema == pl.Schema(neurons.NEURONS)


def test_sets_that_only_share_their_layers_do_not_overlap_more_than_chance():
    """Half of a layer each, independent of each other: over all layers pooled this would look like a finding."""
    even = [(2, unit) for unit in range(0, 40, 2)]
    first = [(2, unit) for unit in range(20)]
    table = neurons.table({"any": domain(even)}, {"dog": members(first)}, SHAPE, DRAWS)
    found = row(table, word="dog", domain="any", layer="all")
    assert (found["both"], found["expected"], found["ratio"]) == (10, 10, 1) and found["p"] == 1
    pooled = chance.overlap([(120, 20, 20)])
    assert chance.two_sided(pooled, 10) < 1e-3


def test_a_neuron_of_half_of_the_pictures_is_the_words_and_draws_change_it():
    half = np.concatenate([members([(0, 0), (0, 1)], 3), members([(0, 0)], 3)])
    found = neurons.stable(half, DRAWS.weights(6))
    assert found[0, :2].all() and not found[0, 2:].any()
    assert found[:, 0].all() and 0.2 < found[:, 1].mean() < 0.9


def test_lists_become_members_whatever_the_case_of_the_noun():
    one = Neurons(np.array([0, 2], np.uint8), np.array([5, 7], np.uint16), np.ones(2, np.float32))
    found = neurons.word_members({("b", "Dog"): one, ("a", "dog"): one, ("a", "car"): one}, ["dog"], SHAPE)
    assert list(found) == ["dog"] and np.flatnonzero(found["dog"][0]).tolist() == [5, 87] and len(found["dog"]) == 2
    with pytest.raises(VlmscopeError, match="tree"):
        neurons.word_members({("a", "dog"): one}, ["dog", "tree"], SHAPE)


def test_rows_of_other_modules_are_no_neurons_of_the_decoder():
    table = pl.DataFrame(
        {"module": ["lang", "vision"], "layer": [1, 1], "index": [4, 5], "domain": ["med", "med"]},
        schema={"module": pl.String, "layer": pl.Int32, "index": pl.Int32, "domain": pl.String},
    )
    found = neurons.domain_sets(table, SHAPE)
    assert list(found) == ["any", "med"] and np.argwhere(found["any"]).tolist() == [[1, 4]]
