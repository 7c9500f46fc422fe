"""Attention on the object beside what blocking it costs (rollout.py), from records alone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.schemas import DIFFERENCE, KNOCKOUTS, OBJECT, WINDOW
from vlmscope.llava_interp.tables import losses, rounded
from vlmscope.store import tables

# Attention of the last token in one window.
#   method    direct, rollout, flow
#   source    object_1: the object and its neighbours; random_1: as many other visual tokens
#   mass      what falls on them; picture: what falls on all visual tokens
MASSES = OBJECT | {
    "sort": pl.String,
    **WINDOW,
    "method": pl.String,
    "source": pl.String,
    "keys": pl.Int32,
    "mass": pl.Float64,
    "picture": pl.Float64,
}
TABLE = {
    "method": pl.String,
    "sort": pl.String,
    **WINDOW,
    "n_images": pl.Int64,
    "mean_keys": pl.Float64,
    "mass": pl.Float64,
    "mass_low": pl.Float64,
    "mass_high": pl.Float64,
    "random_mass": pl.Float64,
    "picture_mass": pl.Float64,
    **DIFFERENCE,
    "knockout_drop": pl.Float64,
    "over": pl.String,
    "n": pl.Int64,
    "rank_correlation": pl.Float64,
    "rank_low": pl.Float64,
    "rank_high": pl.Float64,
}
OWN, RANDOM, TARGET = "object_1", "random_1", "last"


def from_files(*, masses: str, knockout: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, bootstrap, seed."""
    return table(tables.read(masses, MASSES), tables.read(knockout, KNOCKOUTS), told)


def table(masses: pl.DataFrame, knockout: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per method and window, then one per method over windows.

    rank_correlation   Spearman's, of mass on the object and what blocking it takes of the class's log probability:
                       over pictures within a window, or of means over single layers and sliding windows
    """
    place = ["sort", "window"]
    drops = _drops(knockout, told["answers"])
    wide = masses.filter(source=OWN).join(
        masses.filter(source=RANDOM).select("sample", "method", *place, random="mass"),
        on=["sample", "method", *place],
        maintain_order="left",
    )
    wide = wide.join(drops, on=["sample", *place], how="inner", maintain_order="left")
    rows = [
        {"method": method, "sort": sort, "window": window} | _row(part, told)
        for (method, sort, window), part in wide.group_by("method", *place, maintain_order=True)
    ]
    rows += [row for method in wide["method"].unique(maintain_order=True) for row in _over(rows, method)]
    return rounded.table(rows, TABLE)


def _drops(knockout: pl.DataFrame, mode: answers.Mode) -> pl.DataFrame:
    """What blocking the object takes of the class's log probability, of pictures whose untouched answer is right."""
    plain = knockout.filter(source="")
    before = losses.judged(plain, mode).filter("ok").select("sample", plain="right_log_prob")
    blocked = knockout.filter(source=OWN, target=TARGET).join(before, on="sample", how="inner")
    return blocked.select("sample", "sort", "window", drop=pl.col("plain") - pl.col("right_log_prob"))


def _row(part: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    draws = stats.Draws(told["bootstrap"], told["seed"])
    mean, low, high = draws.mean(part["mass"].to_numpy())
    difference, least, most = draws.mean((part["mass"] - part["random"]).to_numpy())
    return {
        "layer_first": part["layer_first"][0],
        "layer_last": part["layer_last"][0],
        "n_images": len(part),
        "mean_keys": part["keys"].mean(),
        "mass": mean,
        "mass_low": low,
        "mass_high": high,
        "random_mass": part["random"].mean(),
        "picture_mass": part["picture"].mean(),
        "difference": difference,
        "difference_low": least,
        "difference_high": most,
        "knockout_drop": part["drop"].mean(),
        "over": "images",
    } | spearman(part["mass"].to_numpy(), part["drop"].to_numpy())


def _over(rows: list[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    """The same over windows, where the published six would count layers several times."""
    own = [row for row in rows if row["method"] == method and row["sort"] != "window"]
    found = spearman(*(np.array([row[name] for row in own]) for name in ("mass", "knockout_drop")))
    return [{"method": method, "over": "windows"} | found]


def spearman(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Rank correlation and its 95 % interval (Bonett and Wright 2000); null for fewer than four rows or no spread."""
    n = len(first)
    ranks = [pl.Series(one).rank().to_numpy() for one in (first, second)]
    if n < 4 or any(one.std() == 0 for one in ranks):
        return {"n": n, "rank_correlation": None, "rank_low": None, "rank_high": None}
    r = float(np.corrcoef(*ranks)[0, 1])
    # A perfect order has no finite transform, so no interval either.
    if abs(r) > 1 - 1e-12:
        return {"n": n, "rank_correlation": r, "rank_low": None, "rank_high": None}
    half, middle = stats.Z95 * math.sqrt((1 + r * r / 2) / (n - 3)), math.atanh(r)
    return {"n": n, "rank_correlation": r, "rank_low": math.tanh(middle - half), "rank_high": math.tanh(middle + half)}
