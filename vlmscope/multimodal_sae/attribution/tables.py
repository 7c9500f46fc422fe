"""Attributions as tables: every entry with its latent's rank in its part of the prompt, and how good the modes are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from vlmscope import stats

ATTRIBUTION = {
    "image": pl.String,
    "answer": pl.String,
    "baseline": pl.String,
    "mode": pl.String,
    "feature": pl.Int64,
    "part": pl.String,
    "rank": pl.Int64,
    "sum": pl.Float64,
    "pooled": pl.Float64,
    "effect": pl.Float64,
    "token": pl.Int64,
    "value": pl.Float64,
}
MODES = {
    "mode": pl.String,
    "prompts": pl.Int64,
    "latents": pl.Int64,
    "correlation": pl.Float64,
    "correlation_low": pl.Float64,
    "correlation_high": pl.Float64,
    "error": pl.Float64,
    "error_low": pl.Float64,
    "error_high": pl.Float64,
}
# What a reader who knows the published work would stumble over.
NOTES = (
    "Positive supports the answer; the paper's sign is the other one.",
    "mode official takes the gradient with the latent off, as released; the paper's text has it at the clean point.",
    "correlation and error are against the true effect of switching the latent off, means over prompts.",
)


@dataclass(frozen=True)
class Found:
    """What was found about one picture.

    parts                         of every position [token]
    latents                       that were looked at [m]
    entry_latents, entry_tokens   of every entry [n]
    values                        mode -> attribution of every entry [n]
    effects                       what switching each latent off takes from D [m]
    """

    image: str
    answer: str
    baseline: str
    parts: np.ndarray
    latents: np.ndarray
    entry_latents: np.ndarray
    entry_tokens: np.ndarray
    values: dict[str, np.ndarray]
    effects: np.ndarray

    def sums(self, mode: str) -> np.ndarray:
        """Over all tokens, of every latent that was looked at [m]."""
        most = max(self.latents.max(), self.entry_latents.max()) + 1
        return np.bincount(self.entry_latents, self.values[mode], most)[self.latents]


def entries(found: Sequence[Found], mode: str, pool: str) -> pl.DataFrame:
    """Every entry of the latents that were looked at, `ATTRIBUTION`; rank 1 is the highest pooled value of its part.

    pool   avg: mean over the part's positions, those where the latent is silent included; max: the highest
    """
    return pl.concat([_entries(one, mode, pool) for one in found] or [pl.DataFrame(schema=ATTRIBUTION)])


def _entries(one: Found, mode: str, pool: str) -> pl.DataFrame:
    told = {"image": one.image, "answer": one.answer, "baseline": one.baseline, "mode": mode}
    kept = np.isin(one.entry_latents, one.latents)
    effects = pl.DataFrame({"feature": one.latents.astype(np.int64), "effect": one.effects})
    size = pl.col("part").replace_strict(dict(zip(*np.unique(one.parts, return_counts=True), strict=True)))
    by = ["part", "feature"]
    silent = pl.when(pl.len().over(by) < size).then(0.0)
    pooled = pl.col("sum") / size if pool == "avg" else pl.max_horizontal(pl.col("value").max().over(by), silent)
    rows = pl.DataFrame(
        {
            "feature": one.entry_latents[kept].astype(np.int64),
            "token": one.entry_tokens[kept].astype(np.int64),
            "part": one.parts[one.entry_tokens[kept]].astype(object),
            "value": one.values[mode][kept].astype(np.float64),
        },
        schema_overrides={"part": pl.String},
    )
    rows = rows.with_columns(sum=pl.col("value").sum().over(by)).with_columns(pooled=pooled)
    rows = rows.with_columns(rank=pl.col("pooled").rank("dense", descending=True).over("part"))
    rows = rows.join(effects, on="feature").with_columns(pl.lit(value).alias(key) for key, value in told.items())
    return rows.sort("part", "rank", "feature", "token").select(
        pl.col(key).cast(kind) for key, kind in ATTRIBUTION.items()
    )


def best(rows: pl.DataFrame, prompts: int, parts: Sequence[str], most: int) -> list[int]:
    """Latents of the highest pooled values, mean over prompts, of some parts: at most `most` each, ascending."""
    once = rows.unique(["image", "part", "feature"]).filter(pl.col("part").is_in(list(parts)))
    mean = once.group_by("part", "feature").agg(mean=pl.col("pooled").sum() / prompts)
    ranked = mean.sort(["mean", "feature"], descending=[True, False])
    chosen = ranked.group_by("part", maintain_order=True).head(most)
    return sorted(set(chosen["feature"].to_list()))


def modes(found: Sequence[Found], resamples: int, seed: int) -> pl.DataFrame:
    """Correlation with the true effect and largest error as a share of the largest effect, `MODES`; over prompts."""
    rows = []
    for mode in found[0].values if found else ():
        alike, error = [], []
        for one in found:
            sums, largest = one.sums(mode), np.abs(one.effects).max()
            if largest > 0 and len(sums) > 1 and sums.std() > 0:
                alike.append(np.corrcoef(sums, one.effects)[0, 1])
                error.append(np.abs(sums - one.effects).max() / largest)
        told = {"mode": mode, "prompts": len(alike), "latents": sum(len(one.latents) for one in found)}
        for name, values in (("correlation", alike), ("error", error)):
            low, high = stats.bootstrap_mean(np.array(values), resamples, seed)
            told |= {name: float(np.mean(values)) if values else None, f"{name}_low": low, f"{name}_high": high}
        rows.append(told)
    return pl.DataFrame(rows, schema=MODES)
