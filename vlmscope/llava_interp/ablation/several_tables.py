"""Whether an object survives what takes another one away, from records alone.

Percentages are of the pairs of which both objects are affirmed in the untouched picture.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.schemas import OBJECT
from vlmscope.llava_interp.tables import losses, rounded
from vlmscope.llava_interp.tables.losses import CONTRAST
from vlmscope.store import tables

# One question about one object of a pair.
#   class       of the object that is taken away; other: of the one that stays
#   asked       ablated, other: which of the two the question is about
#   condition   none, object, matched; indices: visual tokens that were replaced
#   text, prob  the token that answers; probability of a positive answer
POLLS = OBJECT | {
    "other": pl.String,
    "asked": pl.String,
    "condition": pl.String,
    "buffer": pl.Int32,
    "tokens": pl.Int32,
    "indices": pl.List(pl.Int32),
    "text": pl.String,
    "prob": pl.Float64,
}
TABLE = {
    "condition": pl.String,
    "buffer": pl.Int32,
    "asked": pl.String,
    "n": pl.Int64,
    "pct_lost": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "prob_drop": pl.Float64,
    "mean_tokens": pl.Float64,
    "against": pl.String,
    **CONTRAST,
    "n_pairs": pl.Int64,
    "answer_mode": pl.String,
}
# What a row is held against: the ablated object against the one that stays, that one against as many other tokens.
AGAINST = {
    ("object", "ablated"): ("object", "other"),
    ("object", "other"): ("matched", "other"),
    ("matched", "ablated"): ("matched", "other"),
}
KEY = ["condition", "buffer", "asked"]


def from_files(*, polls: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, bootstrap, seed."""
    return table(tables.read(polls, POLLS), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per condition, buffer and question."""
    yes = [answers.affirms(text, told["answers"]) for text in records["text"]]
    judged = records.with_columns(ok=pl.Series(yes, dtype=pl.Boolean))
    plain = judged.filter(condition="none")
    both = plain.group_by("sample", maintain_order=True).agg(pl.col("ok").all()).filter("ok")
    before = plain.select("sample", "asked", plain="prob")
    kept = judged.filter(pl.col("condition") != "none").join(both.select("sample"), on="sample", maintain_order="left")
    kept = kept.join(before, on=["sample", "asked"], maintain_order="left")
    groups = dict(kept.group_by(*KEY, maintain_order=True))
    rows = []
    for (condition, buffer, asked), part in groups.items():
        row = {"condition": condition, "buffer": buffer, "asked": asked} | _row(part)
        if (condition, asked) in AGAINST:
            name, question = AGAINST[condition, asked]
            row |= {"against": f"{name}, {question}"} | _against(part, groups[name, buffer, question], told)
        rows.append(row | {"n_pairs": plain["sample"].n_unique(), "answer_mode": told["answers"]})
    rows.sort(key=lambda row: (row["condition"] != "object", row["buffer"], row["asked"]))
    return rounded.table(rows, TABLE)


def _row(part: pl.DataFrame) -> dict[str, Any]:
    lost, n = int((~part["ok"]).sum()), len(part)
    low, high = stats.wilson(lost, n)
    return {
        "n": n,
        "pct_lost": 100 * lost / n,
        "ci_low": 100 * low,
        "ci_high": 100 * high,
        "prob_drop": (part["plain"] - part["prob"]).mean(),
        "mean_tokens": part["tokens"].mean(),
    }


def _against(part: pl.DataFrame, other: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    """How many points more are lost than in another row, pair by pair; McNemar over decisions."""
    both = part.select("sample", "ok").join(other.select("sample", beside="ok"), on="sample", how="inner")
    mine, theirs = (~both[name].to_numpy() for name in ("ok", "beside"))
    return losses.contrast(mine, theirs, losses.points(mine, theirs), told)
