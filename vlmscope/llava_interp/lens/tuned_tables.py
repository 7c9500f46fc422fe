"""Hit rates of the plain and the affine lens (tuned.py), from records alone."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope import stats
from vlmscope.llava_interp import schemas
from vlmscope.llava_interp.tables import rounded
from vlmscope.store import tables

# Rows of `schemas.HITS` of each lens.
#   lens         plain, affine
#   divergence   of the last layer's distribution from this layer's, mean over the picture's patches, in nats
HITS = {"lens": pl.String, **schemas.HITS, "divergence": pl.Float64}
TABLE = {
    "lens": pl.String,
    **schemas.RATES,
    "divergence_mean": pl.Float64,
    "n_images": pl.Int64,
    **schemas.DIFFERENCE,
    "p": pl.Float64,
}
KEY = list(schemas.LAYER_AND_WAY)


def from_files(*, hits: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   bootstrap, seed."""
    return table(tables.read(hits, HITS), told)


def table(hits: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per lens, layer and way to count; differences are of affine less plain, picture by picture."""
    plain, rows = hits.filter(lens="plain").select("sample", *KEY, beside="rate"), []
    for (lens, *key), part in hits.group_by("lens", *KEY, maintain_order=True):
        rate, low, high = stats.Draws(told["bootstrap"], told["seed"]).mean(part["rate"].to_numpy())
        row = {"lens": lens, **dict(zip(KEY, key, strict=True)), "rate_mean": rate, "ci_low": low, "ci_high": high}
        row |= {"background_mean": part["background"].mean(), "divergence_mean": part["divergence"].mean()}
        row |= {"n_images": len(part)} | (_against(part, plain, told) if lens == "affine" else {})
        rows.append(row)
    return rounded.table(rows, TABLE).sort("criterion", "topk", "layer")


def _against(part: pl.DataFrame, plain: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, float]:
    both = part.join(plain, on=["sample", *KEY], how="inner", maintain_order="left")
    change = (both["rate"] - both["beside"]).to_numpy()
    mean, low, high = stats.Draws(told["bootstrap"], told["seed"]).mean(change)
    p = stats.sign_flip(change, told["bootstrap"], told["seed"])
    return {"difference": mean, "difference_low": low, "difference_high": high, "p": p}
