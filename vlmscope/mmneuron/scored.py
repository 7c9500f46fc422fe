"""Rows of a measurement with the score of every answer, and what many such rows say together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mmneuron import evaluate
from vlmscope.mmneuron.metrics import metric_of
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.samples import read
from vlmscope.store import tables

# Rows of `schemas.PERTURBED` with the score of the answer (0..1) and its change against the same sample untouched.
SCORED = {**PERTURBED, "score": pl.Float64, "delta": pl.Float64}

# What many rows say: masks and samples behind it, units per mask, deviation in %, score 0..1, its change in points.
SUMMARY = {
    "masks": pl.Int64,
    "n": pl.Int64,
    "units": pl.Float64,
    "deviation": pl.Float64,
    "deviation_low": pl.Float64,
    "deviation_high": pl.Float64,
    "score": pl.Float64,
    "delta": pl.Float64,
    "delta_low": pl.Float64,
    "delta_high": pl.Float64,
}


def from_files(
    rows: Sequence[str],
    samples: Mapping[str, str],
    judge_files: Sequence[str],
    kinds: Mapping[str, str],
    settings: Mapping[str, Any],
) -> pl.DataFrame:
    """Rows of all portions with their scores, domains in the order of `samples`.

    samples    domain -> sample table
    settings   the section mmneuron.evaluate
    """
    every, lingo = pl.concat([tables.read(path, PERTURBED) for path in rows]), evaluate.real_judge(judge_files)
    parts = []
    for domain, path in samples.items():
        own, metric = every.filter(pl.col("domain") == domain), metric_of(kinds[domain], settings)
        rules = {"anls_threshold": settings["anls_threshold"], "lingo": lingo}
        found = evaluate.scores(kinds[domain], read(path), own.drop("condition").rename({"mask": "condition"}), **rules)
        parts.append(with_scores(own, found.filter(pl.col("metric") == metric)))
    return pl.concat(parts)


def with_scores(rows: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Rows of one domain as `SCORED`.

    scores   columns condition (the mask's name), group, score
    """
    given = scores.select(mask="condition", group="group", score="score")
    joined = rows.join(given, on=["mask", "group"], how="left", maintain_order="left")
    # Each sample is compared with itself: the spread between samples then does not blur the effect.
    before = joined.filter(pl.col("kind") == "none").select("sample", before="score")
    joined = joined.join(before, on="sample", how="left", maintain_order="left")
    return joined.with_columns(delta=pl.col("score") - pl.col("before")).select(list(SCORED))


def summary(rows: pl.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals over samples; each sample's value is its mean over the rows' masks.

    Domains weigh the same, whatever their number of samples, and are resampled each within itself.
    """
    keys = ["domain", "sample"]
    values = rows.group_by(keys, maintain_order=True).agg(pl.mean("deviation", "score", "delta"))
    parts = values.partition_by("domain", maintain_order=True)
    sizes = rows.group_by("domain", "mask").agg(pl.first("units")).group_by("domain").agg(pl.mean("units"))
    deviation = interval([part["deviation"].to_numpy() for part in parts], resamples, seed)
    delta = interval([100 * part["delta"].to_numpy() for part in parts], resamples, seed)
    return {
        "masks": rows.select(pl.struct("domain", "mask").n_unique()).item(),
        "n": len(values),
        "units": sizes["units"].mean(),
        **dict(zip(("deviation", "deviation_low", "deviation_high"), deviation, strict=True)),
        "score": float(np.mean([part["score"].mean() for part in parts])),
        **dict(zip(("delta", "delta_low", "delta_high"), delta, strict=True)),
    }


def interval(parts: Sequence[np.ndarray], resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean of the parts' means with its bootstrap interval; each part is resampled by itself."""
    generator = np.random.default_rng(seed)
    drawn = [part[generator.integers(0, len(part), (resamples, len(part)))].mean(axis=1) for part in parts]
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    return float(np.mean([part.mean() for part in parts])), float(low), float(high)


def by_domain(rows: pl.DataFrame, keys: Sequence[str], resamples: int, seed: int) -> list[dict[str, Any]]:
    """One summary per domain and value of the keys in the order of the rows, then the mean over domains."""
    found = [
        {"domain": part["domain"][0], **{key: part[key][0] for key in keys}, **summary(part, resamples, seed)}
        for part in rows.partition_by("domain", *keys, maintain_order=True)
    ]
    for part in rows.partition_by(*keys, maintain_order=True):
        found.append({"domain": "mean", **{key: part[key][0] for key in keys}, **summary(part, resamples, seed)})
    return found
