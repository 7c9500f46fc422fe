"""What tokens cost that are chosen by attention, length or lens, from records alone."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope.llava_interp.schemas import ANSWER, OBJECT
from vlmscope.llava_interp.tables import losses
from vlmscope.store import tables

# One answer of one picture without some tokens.
#   condition   none; attention, rollout, norm, norm_tower, lens, object, random; named, unnamed, spared
#   size        how many tokens the rule was asked for, null where the lens decides
#   on_object   share of them on the object
CHOICES = OBJECT | {
    "condition": pl.String,
    "size": pl.Int32,
    "tokens": pl.Int32,
    "indices": pl.List(pl.Int32),
    "on_object": pl.Float64,
    **ANSWER,
}
TABLE = {
    "condition": pl.String,
    "size": pl.Int32,
    **losses.COLUMNS,
    "on_object": pl.Float64,
    "n_images": pl.Int64,
    "answer_mode": pl.String,
}
CONTROLS = {"named": "unnamed", "spared": "unnamed"}


def from_files(*, choices: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, bootstrap, seed."""
    return table(tables.read(choices, CHOICES), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per rule and size, of the pictures whose untouched answer is right; held against random sets."""
    rows = losses.of_right(losses.judged(records, told["answers"]), pl.col("condition") == "none")
    found = losses.table(rows, ("condition", "size"), _control, told, TABLE)
    pictures = records.filter(condition="none")["sample"].n_unique()
    return found.with_columns(n_images=pl.lit(pictures, pl.Int64), answer_mode=pl.lit(told["answers"]))


def _control(key: losses.Key) -> losses.Key | None:
    condition, size = key
    if condition in ("random", "unnamed"):
        return None
    return CONTROLS.get(condition, "random"), size
