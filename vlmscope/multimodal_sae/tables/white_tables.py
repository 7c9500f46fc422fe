"""Table 9 of the paper: how far answers under a held latent are about its name, beside random latents."""

from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats

NAMED, RANDOM, BEFORE, DIFFERENCE = "steering", "random", "not steered", "steering - random"
# Who judges by words alone.
WORDS = "words_stand_in"
CHANGED, ALL = "changed", "all"
# latent: whose name it is; feature: the one that is held.
ANSWERS = {
    "name": pl.String,
    "latent": pl.Int64,
    "kind": pl.String,
    "feature": pl.Int64,
    "value": pl.Float64,
    "mode": pl.String,
    "original": pl.String,
    "steered": pl.String,
    "judge": pl.String,
    "relevance_before": pl.Int64,
    "relevance": pl.Int64,
}
# among: latents whose answer changed, as published, or all; p: of sign flips of the differences between latents.
TABLE9 = {
    "among": pl.String,
    "kind": pl.String,
    "judge": pl.String,
    "relevance": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "n_features": pl.Int64,
    "n_asked": pl.Int64,
    "n_unclear": pl.Int64,
    "paper_relevance": pl.Float64,
    "source": pl.String,
}
PUBLISHED = {NAMED: 6.36, RANDOM: 2.02}
SOURCE = "arXiv 2411.14982v2, Table 9 (GPT-4o, 11 of 100 latents)"
NOTES = (
    "The published judge is GPT-4o; its words are not published, ours are others.",
    "words_stand_in counts the words of the name: 1 for none of them, 10 for all. It is no judge of meaning.",
    "among changed: only latents whose answer changed, as published, which leaves out those that do nothing.",
    "Intervals of 95 % draw latents; a latent's random ones are averaged first.",
)


def table9(answers: pl.DataFrame, draws: stats.Draws) -> pl.DataFrame:
    """`TABLE9` of `ANSWERS`."""
    named = answers.filter(kind=NAMED)
    chance = answers.filter(kind=RANDOM).group_by("latent", maintain_order=True).agg(pl.col("relevance").mean())
    by = dict(chance.iter_rows())
    values = {
        NAMED: named["relevance"].cast(pl.Float64).to_numpy(),
        RANDOM: np.array([by.get(latent) for latent in named["latent"]], np.float64),
        BEFORE: named["relevance_before"].cast(pl.Float64).to_numpy(),
    }
    values[DIFFERENCE] = values[NAMED] - values[RANDOM]
    moved = (named["original"] != named["steered"]).to_numpy()
    judge = {"judge": answers["judge"][0], "n_asked": len(named)}
    rows = []
    for among, kept in ((CHANGED, moved), (ALL, np.ones(len(named), bool))):
        rows += [{"among": among, "kind": kind, **judge, **_told(one[kept], draws)} for kind, one in values.items()]
        rows[-1]["p"] = stats.sign_flip(_clear(values[DIFFERENCE][kept]), *draws) if kept.any() else None
    for row in rows:
        if row["among"] == CHANGED and row["kind"] in PUBLISHED:
            row |= {"paper_relevance": PUBLISHED[row["kind"]], "source": SOURCE}
    return pl.DataFrame(rows, schema=TABLE9)


def _clear(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _told(values: np.ndarray, draws: stats.Draws) -> dict[str, Any]:
    """Mean with its interval over latents with a clear answer of the judge; empty where there is none."""
    clear = _clear(values)
    counts = {"n_features": len(clear), "n_unclear": len(values) - len(clear)}
    if not len(clear):
        return counts
    return counts | dict(zip(("relevance", "low", "high"), draws.mean(clear), strict=True))
