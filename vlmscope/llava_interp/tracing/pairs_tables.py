"""How far states of a picture lead its twin back to the picture's answer, from records alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.schemas import DIFFERENCE, OBJECT
from vlmscope.llava_interp.tables import rounded
from vlmscope.store import tables

# One answer of one pair: of the picture (own), its twin, and the twin with states of the picture.
#   twin, twin_class          where the other object is from, and its class
#   part                      own, twin; object, matched, question, last: which positions got the picture's states
#   log_prob, twin_log_prob   of the picture's class and of the twin's; ok: the token is the picture's class
PAIRS = OBJECT | {
    "twin": pl.String,
    "twin_class": pl.String,
    "part": pl.String,
    "layer": pl.Int32,
    "tokens": pl.Int32,
    "log_prob": pl.Float64,
    "twin_log_prob": pl.Float64,
    "ok": pl.Boolean,
}
TABLE = {
    "part": pl.String,
    "layer": pl.Int32,
    "n": pl.Int64,
    "mean_tokens": pl.Float64,
    "recovered": pl.Float64,
    "recovered_low": pl.Float64,
    "recovered_high": pl.Float64,
    "flipped": pl.Float64,
    "flipped_low": pl.Float64,
    "flipped_high": pl.Float64,
    "control": pl.String,
    **DIFFERENCE,
    "p": pl.Float64,
}
PARTS = ("object", "matched", "question", "last")
CONTROLS = {"object": "matched"}
Key = tuple[Any, ...]


def from_files(*, pairs: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   bootstrap, seed."""
    return table(tables.read(pairs, PAIRS), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per part and layer.

    recovered   share of the way from the twin's difference of log probabilities to the picture's: 0 is the twin, 1 the
                picture
    flipped     share of the pairs that name the picture's class again
    """
    known = records.with_columns(gap=pl.col("log_prob") - pl.col("twin_log_prob"))
    rows = known.filter(pl.col("layer").is_not_null())
    for part, name in (("own", "whole"), ("twin", "broken")):
        end = known.filter(part=part).select("sample", pl.col("gap").alias(name))
        rows = rows.join(end, on="sample", how="inner", maintain_order="left")
    way = pl.col("whole") - pl.col("broken")
    rows = rows.with_columns(recovered=(pl.col("gap") - pl.col("broken")) / way)
    groups = dict(rows.group_by("part", "layer", maintain_order=True))
    found = [_row(key, groups, told) for key in sorted(groups, key=lambda key: (PARTS.index(key[0]), key[1]))]
    return rounded.table(found, TABLE)


def _row(
    key: tuple[Any, ...], groups: Mapping[tuple[Any, ...], pl.DataFrame], told: Mapping[str, Any]
) -> dict[str, Any]:
    part, layer = key
    own, draws = groups[key], stats.Draws(told["bootstrap"], told["seed"])
    n, flipped = len(own), int(own["ok"].sum())
    low, high = stats.wilson(flipped, n)
    row = {"part": part, "layer": layer, "n": n, "mean_tokens": own["tokens"].mean()}
    row |= dict(
        zip(("recovered", "recovered_low", "recovered_high"), draws.mean(own["recovered"].to_numpy()), strict=True)
    )
    row |= {"flipped": flipped / n, "flipped_low": low, "flipped_high": high}
    other = groups.get((CONTROLS.get(part, ""), layer))
    return row if other is None else row | {"control": CONTROLS[part]} | _against(own, other, draws)


def _against(own: pl.DataFrame, other: pl.DataFrame, draws: stats.Draws) -> dict[str, Any]:
    both = own.select("sample", "recovered").join(other.select("sample", beside="recovered"), on="sample", how="inner")
    change = (both["recovered"] - both["beside"]).to_numpy()
    row = dict(zip(DIFFERENCE, draws.mean(change), strict=True))
    return row | {"p": stats.sign_flip(change, *draws) if len(change) else np.nan}
