"""Fine-grained directions against two-means by brute force and counts done by hand (xl_vlms.md 2.10)."""

import itertools

import numpy as np
import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.steer import directions
from vlmscope.xl_vlms.steer.schemas import DIRECTIONS

BEFORE = ["red"] * 4 + ["blue"] * 3 + ["a dog"] * 2 + ["yes"]
AFTER = ["blue car"] * 5 + ["blue"] * 2 + ["red"] + ["green"] * 2


def brute_force(values):
    """Size of the cluster of the maximum in the best of all partitions into two, whatever their shape."""
    best = None
    for size in range(1, len(values)):
        for chosen in itertools.combinations(range(len(values)), size):
            inside = [values[one] for one in chosen]
            outside = [values[one] for one in range(len(values)) if one not in chosen]
            cost = sum(np.var(part) * len(part) for part in (inside, outside))
            if max(values) in inside and (best is None or cost < best[0] - 1e-9):
                best = cost, size
    return best[1]


@pytest.mark.parametrize("seed", range(30))
def test_two_means_is_the_best_partition_of_all(seed):
    generator = np.random.default_rng(seed)
    values = sorted(generator.choice(200, generator.integers(2, 8), replace=False).tolist(), reverse=True)
    assert directions.two_means(values) == brute_force(values)


def test_values_that_are_all_alike_are_one_cluster():
    assert directions.two_means([3, 3, 3]) == 3
    assert directions.two_means([7]) == 1
    assert directions.two_means([]) == 0


def test_increases_are_counted_for_answers_that_are_still_written_and_merged_by_first_word():
    apart = directions.increases(BEFORE, AFTER, first_word=False, top=5)
    assert apart == {"blue car": 5, "green": 2, "blue": -1, "red": -3}
    merged = directions.increases(BEFORE, AFTER, first_word=True, top=5)
    assert merged == {"blue": 4, "green": 2, "red": -3}
    assert list(directions.increases(BEFORE, AFTER, first_word=True, top=2)) == ["blue", "green"]


def test_main_answers_and_their_gap():
    one = directions.lead({"blue": 40, "green": 38, "red": 5, "yes": 1})
    assert one.main == ("blue", "green") and one.gap == 33.0
    assert directions.lead({"blue": 4}) == directions.Lead(("blue",), {"blue": 4}, 0.0)
    assert directions.lead({}).main == ()


def test_the_widest_gaps_are_kept_once_per_answer():
    leads = {
        "0-1": directions.lead({"no": 90, "yes": 0}),
        "0-2": directions.lead({"no": 80, "yes": 0}),
        "1-2": directions.lead({"red": 60, "yes": 0}),
        "2-1": directions.lead({"a": 50, "b": 50, "c": 50, "d": 0}),
        "2-0": directions.lead({"blue": 10, "yes": 0}),
    }
    assert directions.chosen(leads, targets=2, keep=5, unique=True) == ["0-1", "1-2", "2-0"]
    assert directions.chosen(leads, targets=2, keep=5, unique=False) == ["0-1", "0-2", "1-2", "2-0"]
    assert directions.chosen(leads, targets=3, keep=3, unique=True) == ["0-1", "1-2", "2-1"]


def rows(kind, vector, draw, answers):
    return pl.DataFrame({"prediction": answers}).with_columns(
        kind=pl.lit(kind), vector=pl.lit(vector), draw=pl.lit(draw)
    )


SETTINGS = {"seed": 0, "directions": {"first_word": True, "top": 5, "targets": 2, "keep": 1, "unique": True}}


def test_the_table_ranks_pairs_beside_random_directions():
    steered = pl.concat(
        [
            rows("none", "", 0, BEFORE),
            rows("random_pair", "", 0, BEFORE),
            rows("random_pair", "", 1, ["red"] * 5 + BEFORE[5:]),
            rows("pair", "0-1", 0, AFTER),
            rows("pair", "1-0", 0, ["yes"] * 10),
        ]
    )
    found = directions.table(steered, "m", SETTINGS)
    assert dict(found.schema) == DIRECTIONS
    assert found["key"].to_list() == ["concept_0_to_1", "concept_1_to_0"]
    # Of blue +4, green +2, red -3 the first two are one cluster.
    assert found["gap"].to_list() == [5.0, 0.0] and found["kept"].to_list() == [True, False]
    assert found["main_answers"].to_list() == ['["blue", "green"]', '["yes"]']
    assert found["random_gap"][0] == 0.5


def test_a_model_without_pairs_is_told():
    with pytest.raises(VlmscopeError, match="No pair"):
        directions.table(rows("none", "", 0, BEFORE), "m", SETTINGS)
