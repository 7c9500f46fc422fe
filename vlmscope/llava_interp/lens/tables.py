"""In how many patches of an object the vocabulary names it, by layer (llava_interp.md 2.8, 7)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.schemas import HITS, RATES, SEGMENTATION
from vlmscope.llava_interp.tables import published, rounded
from vlmscope.store import tables

RATE = RATES | {"n_images": pl.Int64}
SUMMARY = {
    "criterion": pl.String,
    "topk": pl.Int32,
    "mean_best_rate": pl.Float64,
    "best_low": pl.Float64,
    "best_high": pl.Float64,
    "mean_best_layer": pl.Float64,
    "best_layer_of_mean": pl.Int32,
    "best_mean_rate": pl.Float64,
    "first_layer_rate": pl.Float64,
    "n_images": pl.Int64,
    "paper_rate": pl.Float64,
    "paper_layer": pl.Float64,
    "paper_source": pl.String,
}
MEANS = {
    "layer": pl.String,
    "iou": pl.Float64,
    "iou_low": pl.Float64,
    "iou_high": pl.Float64,
    "ap": pl.Float64,
    "ap_low": pl.Float64,
    "ap_high": pl.Float64,
    "pointing": pl.Float64,
    "pointing_low": pl.Float64,
    "pointing_high": pl.Float64,
    "share": pl.Float64,
    "n_images": pl.Int64,
}


def from_files(*, hits: str, maps: str, told: Mapping[str, Any]) -> dict[str, tuple[pl.DataFrame, Any]]:
    """Tables `rate`, `summary`, `maps` (a row per picture and layer) and `means` over pictures.

    told   bootstrap, seed, family
    """
    found, overlaps = tables.read(hits, HITS), tables.read(maps, SEGMENTATION)
    return {
        "rate": (rates(found, told), RATE),
        "summary": (summary(found, told), SUMMARY),
        "maps": (rounded.table(overlaps, SEGMENTATION), SEGMENTATION),
        "means": (means(overlaps, told), MEANS),
    }


def rates(hits: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """Mean rate of every layer with its interval over pictures."""
    rows = []
    for (criterion, k, layer), part in hits.group_by("criterion", "topk", "layer", maintain_order=True):
        low, high = stats.bootstrap_mean(part["rate"].to_numpy(), told["bootstrap"], told["seed"])
        rows.append(
            {
                "layer": layer,
                "criterion": criterion,
                "topk": k,
                "rate_mean": part["rate"].mean(),
                "ci_low": low,
                "ci_high": high,
                "background_mean": part["background"].mean(),
                "n_images": len(part),
            }
        )
    return rounded.table(rows, RATE).sort("criterion", "topk", "layer")


def summary(hits: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """Best layer of every picture, and best layer of the mean; of equal rates the first layer counts.

    Pictures that no layer names count with rate 0 and without a best layer.
    """
    rows = []
    for (criterion, k), part in hits.group_by("criterion", "topk", maintain_order=True):
        wide = part.sort("sample", "layer").group_by("sample", maintain_order=True).agg("rate")
        values = np.array(wide["rate"].to_list())
        best, mean = values.max(axis=1), values.mean(axis=0)
        named = best > 0
        rate, low, high = stats.Draws(told["bootstrap"], told["seed"]).mean(best)
        known = published.LENS.get(told["family"]) if (criterion, k) == ("strict", 1) else None
        rows.append(
            {
                "criterion": criterion,
                "topk": k,
                "mean_best_rate": rate,
                "best_low": low,
                "best_high": high,
                "mean_best_layer": float(values.argmax(axis=1)[named].mean()) if named.any() else None,
                "best_layer_of_mean": int(mean.argmax()),
                "best_mean_rate": float(mean.max()),
                "first_layer_rate": float(mean[0]),
                "n_images": len(values),
                "paper_rate": known and known[0],
                "paper_layer": known and known[1],
                "paper_source": f"{published.SOURCE}, criterion not known" if known else None,
            }
        )
    return rounded.table(rows, SUMMARY).sort("criterion", "topk")


def means(overlaps: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """Mean overlap of every layer with intervals over pictures."""
    rows = []
    for (layer,), part in overlaps.group_by("layer", maintain_order=True):
        row = {"layer": layer, "share": part["share"].mean(), "n_images": len(part)}
        for name in ("iou", "ap", "pointing"):
            values = part[name].cast(pl.Float64).to_numpy()
            row[name], row[f"{name}_low"], row[f"{name}_high"] = stats.mean_interval(
                values, told["bootstrap"], told["seed"]
            )
        rows.append(row)
    return rounded.table(rows, MEANS)
