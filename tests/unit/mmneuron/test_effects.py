"""Effects on hand-made rows: two masks of other domains, three random ones, known means."""

import numpy as np
import polars as pl
import pytest

from vlmscope.mmneuron import effects
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.stats import bootstrap_mean

KINDS = {"none": "none", "own": "own", "other:a": "other", "other:b": "other"} | {
    f"random:{seed}": "random" for seed in range(3)
}
UNITS = {"none": 0, "own": 40, "other:a": 30, "other:b": 50, "random:0": 40, "random:1": 40, "random:2": 40}


def frames(deviation, score):
    """Rows and scores of samples 0..n-1; `deviation[mask]` and `score[mask]` are lists over samples."""
    rows, scores = [], []
    for mask, kind in KINDS.items():
        for k, value in enumerate(deviation[mask]):
            rows.append((mask, kind, f"s{k}", f"g{k}", UNITS[mask], value, 0.0, 0.0, "x"))
            scores.append((mask, f"g{k}", score[mask][k]))
    schema = {"mask": pl.String, "group": pl.String, "score": pl.Float64}
    return pl.DataFrame(rows, schema=PERTURBED, orient="row"), pl.DataFrame(scores, schema=schema, orient="row")


DEVIATION = {
    "none": [0.0, 0.0, 0.0, 0.0],
    "own": [10.0, 20.0, 30.0, 40.0],
    "other:a": [1.0, 1.0, 1.0, 1.0],
    "other:b": [3.0, 5.0, 3.0, 5.0],
    "random:0": [2.0, 2.0, 2.0, 2.0],
    "random:1": [2.0, 2.0, 2.0, 2.0],
    "random:2": [2.0, 2.0, 2.0, 2.0],
}
SCORE = {
    "none": [1.0, 1.0, 1.0, 0.0],
    "own": [0.0, 0.0, 1.0, 0.0],
    "other:a": [1.0, 1.0, 1.0, 1.0],
    "other:b": [1.0, 0.0, 1.0, 0.0],
    "random:0": [1.0, 1.0, 1.0, 0.0],
    "random:1": [1.0, 1.0, 0.0, 0.0],
    "random:2": [1.0, 1.0, 1.0, 0.0],
}


@pytest.fixture
def table():
    one, other = frames(DEVIATION, SCORE), frames({mask: [2 * v for v in d] for mask, d in DEVIATION.items()}, SCORE)
    return effects.effects({"a": one[0], "b": other[0]}, {"a": one[1], "b": other[1]}, 2000, 0)


def row(table, domain, kind):
    return table.row(by_predicate=(pl.col("domain") == domain) & (pl.col("kind") == kind), named=True)


def test_one_row_per_domain_and_kind_and_a_mean_over_domains(table):
    assert table.schema == pl.Schema(effects.SCHEMA)
    assert table.select("domain", "kind").rows() == [
        (domain, kind) for domain in ("a", "b", "mean") for kind in ("own", "other", "random")
    ]


@pytest.mark.parametrize(
    ("kind", "masks", "units", "deviation", "score", "delta"),
    [("own", 1, 40, 25.0, 0.25, -50.0), ("other", 2, 40, 2.5, 0.75, 0.0), ("random", 3, 40, 2.0, 2 / 3, -25 / 3)],
)
def test_means_are_those_of_the_rows(table, kind, masks, units, deviation, score, delta):
    found = row(table, "a", kind)
    assert (found["masks"], found["n"], found["units"]) == (masks, 4, units)
    assert (found["deviation"], found["score"], found["delta"]) == pytest.approx((deviation, score, delta))


def test_the_mean_row_averages_the_domains(table):
    found = row(table, "mean", "own")
    assert (found["masks"], found["n"]) == (2, 8)
    assert found["deviation"] == pytest.approx((25 + 50) / 2)
    assert found["delta"] == pytest.approx(-50)


def test_values_without_spread_have_intervals_without_width(table):
    found = row(table, "a", "random")
    assert found["deviation_low"] == found["deviation"] == found["deviation_high"] == 2.0
    mean = row(table, "mean", "random")
    assert mean["deviation_low"] == mean["deviation_high"] == 3.0


def test_intervals_hold_the_mean_and_follow_the_spread(table):
    for found in table.iter_rows(named=True):
        for value in ("deviation", "delta"):
            assert found[f"{value}_low"] <= found[value] + 1e-9 and found[value] <= found[f"{value}_high"] + 1e-9
    own = row(table, "a", "own")
    # Each of four values is drawn four times: extremes are 10 and 40, standard error sqrt(125) / 2 = 5.6.
    assert 10 < own["deviation_low"] < 20 and 30 < own["deviation_high"] < 40
    assert own["delta_low"] == -100.0 and own["delta_high"] == 0.0


def test_an_interval_over_samples_is_that_of_the_sample_means(table):
    # Means over the two other masks per sample: 2, 3, 2, 3.
    low, high = bootstrap_mean(np.array([2.0, 3.0, 2.0, 3.0]), 2000, 0)
    found = row(table, "a", "other")
    assert (found["deviation_low"], found["deviation_high"]) == pytest.approx((low, high))


def test_the_change_is_against_the_same_sample_untouched():
    mixed = {**SCORE, "own": [0.0, 1.0, 1.0, 1.0]}
    rows, scores = frames(DEVIATION, mixed)
    found = row(effects.effects({"a": rows}, {"a": scores}, 2000, 0), "a", "own")
    # -1, 0, 0 and +1: no change on average, but an interval on both sides.
    assert found["delta"] == 0.0 and found["delta_low"] < -25 and found["delta_high"] > 25


def test_the_seed_decides_the_draws():
    rows, scores = frames(DEVIATION, SCORE)
    tables = [effects.effects({"a": rows}, {"a": scores}, 50, seed) for seed in (1, 1, 2)]
    assert tables[0].equals(tables[1]) and not tables[0].equals(tables[2])
