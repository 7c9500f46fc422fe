"""Effects on hand-made rows: two masks of other domains, three random ones, known means."""

import numpy as np
import polars as pl
import pytest

from vlmscope.mmneuron import effects, scored
from vlmscope.mmneuron.schemas import PERTURBED, SCORES
from vlmscope.stats import bootstrap_mean

# Mask -> kind, variant; the tested domain is c in the tables of two other domains.
KINDS = {"none": ("none", ""), "own": ("own", ""), "other:a": ("other", "a"), "other:b": ("other", "b")} | {
    f"random:{seed}": ("random", str(seed)) for seed in range(3)
}
UNITS = {"none": 0, "own": 40, "other:a": 30, "other:b": 50, "random:0": 40, "random:1": 40, "random:2": 40}


def frames(deviation, score, domain="a"):
    """Scored rows of samples 0..n-1; `deviation[mask]` and `score[mask]` are lists over samples."""
    rows, scores = [], []
    for mask, (kind, variant) in KINDS.items():
        condition = "" if kind == "none" else "all"
        for k, value in enumerate(deviation[mask]):
            rows.append((domain, mask, kind, condition, variant, f"s{k}", f"g{k}", UNITS[mask], value, 0.0, 0.0, "x"))
            scores.append((mask, f"g{k}", "exact", score[mask][k]))
    table = pl.DataFrame(rows, schema=PERTURBED, orient="row")
    # Rows of another condition must not be mixed in.
    strange = table.filter(pl.col("kind") == "own").with_columns(
        condition=pl.lit("lang"), mask=pl.lit("own:lang"), deviation=pl.lit(99.0)
    )
    scores += [("own:lang", f"g{k}", "exact", 0.0) for k in range(len(strange))]
    return scored.with_scores(pl.concat([table, strange]), pl.DataFrame(scores, schema=SCORES, orient="row"))


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
    twice = {mask: [2 * v for v in d] for mask, d in DEVIATION.items()}
    return effects.effects(pl.concat([frames(DEVIATION, SCORE), frames(twice, SCORE, "b")]), "all", 2000, 0)


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
    found = row(effects.effects(frames(DEVIATION, mixed), "all", 2000, 0), "a", "own")
    # -1, 0, 0 and +1: no change on average, but an interval on both sides.
    assert found["delta"] == 0.0 and found["delta_low"] < -25 and found["delta_high"] > 25


def test_the_seed_decides_the_draws():
    rows = frames(DEVIATION, SCORE)
    tables = [effects.effects(rows, "all", 50, seed) for seed in (1, 1, 2)]
    assert tables[0].equals(tables[1]) and not tables[0].equals(tables[2])


def test_domains_are_crossed_with_their_own_on_the_diagonal():
    def one(domain, others):
        names = dict(zip(("other:a", "other:b"), others, strict=True))
        rows = frames(DEVIATION, SCORE, domain)
        return rows.with_columns(variant=pl.col("mask").replace_strict(names, default=pl.col("variant")))

    rows = pl.concat([one("a", ("b", "c")), one("b", ("a", "c")), one("c", ("a", "b"))])
    table = effects.cross(rows, "all", ["a", "b", "c"], 200, 0)
    assert table.schema == pl.Schema(effects.CROSS)
    assert table.select("neurons_of", "tested_on").rows() == [(a, b) for a in "abc" for b in "abc"]
    # Of the two other masks the first moves states by 1, the second by 4.
    assert table["deviation"].to_list() == [25.0, 1.0, 1.0, 1.0, 25.0, 4.0, 4.0, 4.0, 25.0]
    assert table["masks"].to_list() == [1] * 9 and table["n"].to_list() == [4] * 9
