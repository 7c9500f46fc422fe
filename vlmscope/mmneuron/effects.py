"""Own-domain effect beside its controls: zeroing a domain's neurons, another domain's, or as many random ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.metrics.judge import LingoJudge
from vlmscope.mmneuron import evaluate
from vlmscope.mmneuron.metrics import metric_of
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.samples import Sample, read
from vlmscope.stats import bootstrap_mean
from vlmscope.store import tables

SCHEMA = {
    "domain": pl.String,
    "kind": pl.String,
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
KINDS = ("own", "other", "random")


def effects(
    rows: Mapping[str, pl.DataFrame], scores: Mapping[str, pl.DataFrame], resamples: int, seed: int
) -> pl.DataFrame:
    """Per domain and kind of mask: mean deviation in % and change of the score in points, with intervals.

    rows     domain -> `schemas.PERTURBED`
    scores   domain -> columns mask, group, score (0..1, the table's metric)
    Intervals are 95 % bootstrap intervals over samples; each sample's value is its mean over the masks of a kind.
    The rows of domain "mean" average the domains, resampled within each.
    """
    cells = {domain: _per_sample(rows[domain], scores[domain]) for domain in rows}
    table = [_row(domain, kind, [cells[domain][kind]], resamples, seed) for domain in cells for kind in KINDS]
    table += [_row("mean", kind, [cell[kind] for cell in cells.values()], resamples, seed) for kind in KINDS]
    return pl.DataFrame(table, schema=SCHEMA)


def _per_sample(rows: pl.DataFrame, scores: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Kind -> arrays over samples: deviation, score, delta against the same sample untouched."""
    joined = rows.join(scores, on=["mask", "group"], how="left", maintain_order="left")
    # Each sample is compared with itself: the spread between samples then does not blur the effect.
    none = joined.filter(pl.col("kind") == "none").select("sample", before="score")
    joined = joined.join(none, on="sample", how="left", maintain_order="left")
    found = {}
    for kind in KINDS:
        part = joined.filter(pl.col("kind") == kind)
        per = part.group_by("sample", maintain_order=True).agg(
            pl.col("deviation").mean(),
            pl.col("score").mean(),
            (pl.col("score") - pl.col("before")).mean().alias("delta"),
        )
        found[kind] = {key: per[key].to_numpy() for key in ("deviation", "score", "delta")}
        found[kind] |= {"masks": part["mask"].n_unique(), "units": _mean_units(part)}
    return found


def _mean_units(part: pl.DataFrame) -> float:
    each = part.group_by("mask").agg(pl.col("units").first())["units"]
    return float(each.mean() or 0.0)


def _row(domain: str, kind: str, cells: Sequence[Mapping[str, Any]], resamples: int, seed: int) -> dict[str, Any]:
    deviation = _interval([cell["deviation"] for cell in cells], resamples, seed)
    delta = _interval([100 * cell["delta"] for cell in cells], resamples, seed)
    return {
        "domain": domain,
        "kind": kind,
        "masks": sum(cell["masks"] for cell in cells),
        "n": sum(len(cell["score"]) for cell in cells),
        "units": float(np.mean([cell["units"] for cell in cells])),
        **dict(zip(("deviation", "deviation_low", "deviation_high"), deviation, strict=True)),
        "score": float(np.mean([cell["score"].mean() for cell in cells])),
        **dict(zip(("delta", "delta_low", "delta_high"), delta, strict=True)),
    }


def _interval(parts: Sequence[np.ndarray], resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean of the parts' means with its bootstrap interval; each part (domain) is resampled by itself."""
    # Domains weigh the same in the mean row, whatever their number of samples.
    if len(parts) == 1:
        return (float(parts[0].mean()), *bootstrap_mean(parts[0], resamples, seed))
    generator = np.random.default_rng(seed)
    means = np.mean(
        [part[generator.integers(0, len(part), (resamples, len(part)))].mean(axis=1) for part in parts], axis=0
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([part.mean() for part in parts])), float(low), float(high)


def from_files(
    settings: Mapping[str, Any],
    kinds: Mapping[str, str],
    rows: Sequence[str],
    samples: Sequence[str],
    judge_files: Sequence[str],
) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Rows and scores of the effect measurement by domain."""
    frames = {domain: tables.read(path, PERTURBED) for domain, path in zip(settings["domains"], rows, strict=True)}
    asked = {domain: read(path) for domain, path in zip(settings["domains"], samples, strict=True)}
    return frames, _scores(frames, asked, kinds, settings["evaluate"], evaluate.real_judge(judge_files))


def _scores(
    rows: Mapping[str, pl.DataFrame],
    samples: Mapping[str, Sequence[Sample]],
    kinds: Mapping[str, str],
    settings: Mapping[str, Any],
    lingo: LingoJudge | None,
) -> dict[str, pl.DataFrame]:
    """Domain -> score of every answer of the effect measurement, by the metric of the tables."""
    found = {}
    for domain, frame in rows.items():
        answers = frame.rename({"mask": "condition"})
        scored = evaluate.scores(
            kinds[domain], samples[domain], answers, anls_threshold=settings["anls_threshold"], lingo=lingo
        )
        metric = metric_of(kinds[domain], settings)
        found[domain] = scored.filter(pl.col("metric") == metric).select(mask="condition", group="group", score="score")
    return found
