"""At which layer the object's tokens may go without a loss, from records alone."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope.llava_interp.schemas import ANSWER, OBJECT
from vlmscope.llava_interp.tables import losses
from vlmscope.store import tables

# One answer of one picture whose states at one layer are partly replaced.
#   part    none; object, matched: which tokens; layer: where
LAYERS = OBJECT | {"part": pl.String, "layer": pl.Int32, "tokens": pl.Int32, **ANSWER}
TABLE = {"part": pl.String, "layer": pl.Int32, **losses.COLUMNS, "answer_mode": pl.String}


def from_files(*, layers: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, bootstrap, seed."""
    return table(tables.read(layers, LAYERS), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per part and layer, of the pictures whose untouched answer is right."""
    rows = losses.of_right(losses.judged(records, told["answers"]), pl.col("part") == "none")
    found = losses.table(
        rows.sort("part", "layer", descending=[True, False], maintain_order=True),
        ("part", "layer"),
        _control,
        told,
        TABLE,
    )
    return found.with_columns(answer_mode=pl.lit(told["answers"]))


def _control(key: losses.Key) -> losses.Key | None:
    return ("matched", key[1]) if key[0] == "object" else None
