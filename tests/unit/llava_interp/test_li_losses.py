"""Columns that tables of this system share: what is rounded, and one condition held against another."""

import numpy as np
import polars as pl
import pytest

from vlmscope import stats
from vlmscope.llava_interp.tables import losses, rounded

TOLD = {"bootstrap": 200, "seed": 3}


def test_numbers_are_rounded_and_chances_are_not():
    schema = {"name": pl.String, "n": pl.Int64, "share": pl.Float64, "p": pl.Float64, "mcnemar_p": pl.Float64}
    found = rounded.table([{"name": "a", "n": 3, "share": 1 / 3, "p": 1e-9, "mcnemar_p": 2e-12}], schema)
    assert found.rows() == [("a", 3, 0.333333, 1e-9, 2e-12)] and found.schema == schema


def test_a_small_loss_is_written_without_a_sign():
    found = rounded.table([{"x": -1e-9}, {"x": None}], {"x": pl.Float64})["x"]
    assert str(found[0]) == "0.0" and found[1] is None


def test_rows_need_not_have_every_column():
    assert rounded.table([{"a": 1.0}, {}], {"a": pl.Float64, "b": pl.String}).rows() == [(1.0, None), (None, None)]


def test_two_conditions_are_compared_picture_by_picture():
    mine, theirs = np.array([True, True, True, False]), np.array([False, False, True, True])
    found = losses.contrast(mine, theirs, losses.points(mine, theirs), TOLD)
    assert list(found) == list(losses.CONTRAST)
    assert found["difference"] == pytest.approx(25) and found["difference_low"] < 25 < found["difference_high"]
    # Lost with the first alone: two; with the second alone: one.
    assert found["mcnemar_p"] == stats.mcnemar(2, 1)


def test_without_a_common_picture_nothing_is_said():
    none = np.zeros(0, bool)
    assert losses.contrast(none, none, losses.points(none, none), TOLD) == {}


def test_what_a_picture_loses_is_told_in_the_order_of_the_conditions_rows():
    names = ("prob", "right_prob", "right_log_prob")
    plain = pl.DataFrame({"sample": ["a", "b"]} | dict(zip(names, ([0.9, 0.8], [0.7, 0.6], [-0.1, -0.2]), strict=True)))
    part = pl.DataFrame({"sample": ["b", "a"]} | dict(zip(names, ([0.5, 0.5], [0.1, 0.2], [-1.2, -2.1]), strict=True)))
    found = losses.drops(part, plain)
    assert found["prob"] == pytest.approx([0.3, 0.4]) and found["right_prob"] == pytest.approx([0.5, 0.5])
    assert found["right_log_prob"] == pytest.approx([1.0, 2.0])
