"""What single patches give back to a model that lost the picture, from records alone.

Gain: probability of the right token with the repair, less that of the corrupted prompt.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.schemas import DIFFERENCE, OBJECT
from vlmscope.llava_interp.tables import rounded
from vlmscope.store import tables

# One repaired prompt, or the clean and the corrupted one (layer and patch null).
#   part        clean, corrupted; object, near, other: a single patch there; object_set, matched_set: several at once
#   tokens      how many were given back; with corrupted: how many were lost
TRACES = OBJECT | {
    "grid": pl.Int32,
    "corrupted": pl.String,
    "part": pl.String,
    "layer": pl.Int32,
    "patch": pl.Int32,
    "tokens": pl.Int32,
    "prob": pl.Float64,
    "log_prob": pl.Float64,
}
TABLE = {
    "corrupted": pl.String,
    "part": pl.String,
    "layer": pl.Int32,
    "n_images": pl.Int64,
    "mean_tokens": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "share": pl.Float64,
    "highest": pl.Float64,
    "chance": pl.Float64,
    "control": pl.String,
    **DIFFERENCE,
    "p": pl.Float64,
}
CONTROLS = {"object": "other", "near": "other", "object_set": "matched_set"}
PARTS = ("object", "near", "other", "object_set", "matched_set")


def from_files(*, traces: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   bootstrap, seed."""
    return table(tables.read(traces, TRACES), told)


def gains(records: pl.DataFrame) -> pl.DataFrame:
    """Repairs with `gain`, and `lost`: what the corruption took."""
    whole, broken = (
        records.filter(part=part).select("sample", pl.col("prob").alias(name))
        for part, name in (("clean", "whole"), ("corrupted", "broken"))
    )
    repairs = records.filter(pl.col("layer").is_not_null())
    for ends in (whole, broken):
        repairs = repairs.join(ends, on="sample", maintain_order="left")
    return repairs.with_columns(gain=pl.col("prob") - pl.col("broken"), lost=pl.col("whole") - pl.col("broken"))


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per part and layer, averaged within pictures first.

    share      mean gain, of the mean of what the corruption took
    highest    share of pictures whose best patch is of this part; chance: the part's share of the patches
    difference gain less that of the control, picture by picture; p of random signs
    """
    single = gains(records)
    means = single.group_by("corrupted", "part", "layer", "sample", maintain_order=True).agg(
        pl.col("gain").mean(), pl.col("lost").first(), pl.col("tokens").mean()
    )
    best = _best(single)
    rows = []
    for (corrupted, part, layer), own in means.group_by("corrupted", "part", "layer", maintain_order=True):
        row = {"corrupted": corrupted, "part": part, "layer": layer} | _row(own, told)
        if not part.endswith("_set"):
            row |= {"highest": best.filter(layer=layer)["part"].eq(part).mean(), "chance": _chance(single, part)}
        control = means.filter(part=CONTROLS.get(part, ""), layer=layer)
        rows.append(row | ({"control": CONTROLS[part]} | _against(own, control, told) if len(control) else {}))
    rows.sort(key=lambda row: (PARTS.index(row["part"]), row["layer"]))
    return rounded.table(rows, TABLE)


def _row(own: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    gain, low, high = stats.Draws(told["bootstrap"], told["seed"]).mean(own["gain"].to_numpy())
    lost = float(own["lost"].mean())
    return {
        "n_images": len(own),
        "mean_tokens": own["tokens"].mean(),
        "gain": gain,
        "gain_low": low,
        "gain_high": high,
        "share": gain / lost if lost else None,
    }


def _best(single: pl.DataFrame) -> pl.DataFrame:
    """The patch of the highest gain of every picture and layer; of equal ones the first."""
    patches = single.filter(pl.col("patch").is_not_null()).sort("sample", "layer", "patch", maintain_order=True)
    highest = patches.filter(pl.col("gain") == pl.col("gain").max().over("sample", "layer"))
    return highest.group_by("sample", "layer", maintain_order=True).first()


def _chance(single: pl.DataFrame, part: str) -> float:
    """Mean share of the patches that are of this part."""
    patches = single.filter(pl.col("patch").is_not_null())
    return float(patches.group_by("sample").agg(pl.col("part").eq(part).mean())["part"].mean())


def _against(own: pl.DataFrame, control: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    both = own.select("sample", "gain").join(control.select("sample", other="gain"), on="sample", how="inner")
    change = (both["gain"] - both["other"]).to_numpy()
    low, high = stats.bootstrap_mean(change, told["bootstrap"], told["seed"])
    return {
        "difference": float(np.mean(change)) if len(change) else None,
        "difference_low": low,
        "difference_high": high,
        "p": stats.sign_flip(change, told["bootstrap"], told["seed"]) if len(change) else None,
    }
