"""How often a description still names the object while attention is blocked, from records alone."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.knockout.windows import BESIDE
from vlmscope.llava_interp.schemas import GROUP, OBJECT, WINDOW
from vlmscope.llava_interp.tables import losses
from vlmscope.store import tables

# One description of one picture under one blocked group; source and target empty where nothing was blocked.
SPOKEN = OBJECT | {
    **GROUP,
    **WINDOW,
    "keys": pl.Int32,
    "text": pl.String,
}
#   changed   share of the pictures whose description is another one, in whatever words
TABLE = {
    **GROUP,
    **WINDOW,
    **{name: kind for name, kind in losses.COLUMNS.items() if "drop" not in name},
    "changed": pl.Float64,
    "n_images": pl.Int64,
    "answer_mode": pl.String,
}
KEY = (*GROUP, *WINDOW)


def from_files(*, spoken: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, synonyms, bootstrap, seed."""
    return table(tables.read(spoken, SPOKEN), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per group and window, of the pictures whose untouched description names the object."""
    named = [
        answers.mentions(text, name, told["answers"], told["synonyms"])
        for text, name in records.select("text", "class").iter_rows()
    ]
    judged = records.with_columns(ok=pl.Series(named, dtype=pl.Boolean))
    plain = judged.filter(pl.col("source") == "", "ok").select("sample", before="text")
    rows = judged.filter(pl.col("source") != "").join(plain, on="sample", how="inner", maintain_order="left")
    rows = rows.with_columns(
        tokens="keys", changed=(pl.col("text") != pl.col("before")).cast(pl.Float64), drop=pl.lit(None, pl.Float64)
    )
    found = losses.table(rows, KEY, _control, told, TABLE)
    pictures = records.filter(source="")["sample"].n_unique()
    return found.with_columns(n_images=pl.lit(pictures, pl.Int64), answer_mode=pl.lit(told["answers"]))


def _control(key: losses.Key) -> losses.Key | None:
    return (BESIDE[key[0]], *key[1:]) if key[0] in BESIDE else None
