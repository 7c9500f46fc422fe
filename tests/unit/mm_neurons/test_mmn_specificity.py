import numpy as np
import polars as pl
import pytest

from vlmscope.mm_neurons.measures import layers, sets, specificity
from vlmscope.mm_neurons.measures.sets import WIDTH, Sets
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.stats import Draws

DRAWS = Draws(200, 0)
KIND = ("act_fn", "contribution")
CHOSEN = Sets(
    (("a", "dog"), ("a", "cat"), ("a", "cup"), ("b", "dog"), ("b", "cat"), ("c", "dog")),
    np.array([[1, 2], [2, 3], [4, 5], [1, 2], [2, 1], [1, 9]]),
)


def test_specificity_by_hand():
    (row,) = specificity.rows(KIND, CHOSEN, sizes=[2], draws=DRAWS)
    # Image a: pairs share 1, 0 and 0 of 2; image b shares both; image c has one noun only.
    assert row["specificity"] == pytest.approx(((1 - 0.5 / 3) + 0) / 2)
    assert (row["n"], row["pairs"], row["nouns"]) == (2, 4, 3)
    assert row["ci_low"] <= row["specificity"] <= row["ci_high"]


def test_nouns_per_neuron_are_counted_once_per_noun():
    # 1: dog, cat; 2: dog, cat; 3: cat; 4 and 5: cup; 9: dog.
    assert specificity.nouns_per_neuron(CHOSEN, 2).tolist() == [2, 2, 1, 1, 1, 1]
    (row,) = specificity.rows(KIND, CHOSEN, sizes=[2], draws=DRAWS)
    assert row["mean_nouns_per_neuron"] == pytest.approx(8 / 6)
    assert row["neurons"] == 6


def test_images_with_one_noun_leave_the_specificity_empty():
    alone = CHOSEN.only(np.array([0, 0, 0, 0, 0, 1], bool))
    frame = sets.frame(specificity.rows(KIND, alone, sizes=[1, 3], draws=DRAWS), specificity.SPECIFICITY)
    assert frame["specificity"].to_list() == [None, None]
    assert frame["n"].to_list() == [0, 0]
    assert frame["mean_nouns_per_neuron"].to_list() == [1.0, None]


# ---- layers ------------------------------------------------------------------------------------------------------

DEEP = Sets(
    (("a", "dog"), ("a", "cat"), ("b", "dog")),
    np.array([[0, WIDTH], [WIDTH, 3 * WIDTH], [WIDTH + 1, WIDTH]]),
)


def test_neurons_are_counted_by_layer_each_time_and_once():
    every, once = layers.counts(DEEP, 2, 4)
    assert every.tolist() == [1, 4, 0, 1]
    assert once.tolist() == [1, 2, 0, 1]
    rows = layers.rows(KIND, DEEP, sizes=[1, 2, 3], layers=4)
    assert [(row["k"], row["layer"], row["count"]) for row in rows] == [
        *((1, layer, count) for layer, count in enumerate([1, 2, 0, 0])),
        *((2, layer, count) for layer, count in enumerate([1, 4, 0, 1])),
    ]


def test_mean_layer_and_entropy():
    (row,) = layers.profile(KIND, DEEP, sizes=[2], layers=4, draws=DRAWS)
    # Image a: layers 0, 1 and 1, 3; image b: 1, 1.
    assert row["mean_layer"] == pytest.approx(((0.5 + 2) / 2 + 1) / 2)
    share = np.array([1, 4, 1]) / 6
    assert row["entropy"] == pytest.approx(-(share * np.log(share)).sum())
    assert row["entropy_most"] == pytest.approx(np.log(4))
    assert (row["n"], row["nouns"]) == (2, 3)


def test_sizes_beyond_the_lists_are_empty():
    frame = sets.frame(layers.profile(KIND, DEEP, sizes=[3], layers=4, draws=DRAWS), layers.PROFILE)
    assert frame.select("mean_layer", "ci_low", "entropy", "n").row(0) == (None, None, None, 0)


def test_tables_are_made_from_files(tmp_path):
    path, tokens = tmp_path / "neurons.h5", tmp_path / "tokens.parquet"
    entries = [
        Entry("act_fn", "contribution", *key, Neurons(row // WIDTH, row % WIDTH, row.astype(np.float32)))
        for key, row in zip(DEEP.keys, DEEP.neurons, strict=True)
    ]
    lists.write(path, entries, {})
    sets.frame([{"layer": 4, "unit": 1}], {"layer": pl.Int32, "unit": pl.Int32}).write_parquet(tokens)
    found, told = layers.from_files([str(path)], str(tokens), k=[2], bootstrap=20, seed=0)
    assert dict(found.schema) == layers.LAYERS
    assert found["count"].to_list() == [1, 4, 0, 1, 0]
    assert dict(told.schema) == layers.PROFILE
    frame = specificity.from_files([str(path)], k=[1, 2], bootstrap=20, seed=0)
    assert dict(frame.schema) == specificity.SPECIFICITY
    assert frame["specificity"].to_list() == [1.0, 0.5]
