"""What can become of steered answers, how often it does, and how relevant they are, beside random latents."""

from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats

CATEGORIES = {
    "no_effect": "the second text says what the first says",
    "names": "the second text names the thing that the first does not name",
    "reasons": "the second text does not name the thing but argues or continues from it",
    "unrelated": "the second text is another one, for no reason that has to do with the thing",
}
UNCLEAR = "unclear"
ROWS = {
    "feature": pl.Int64,
    "description": pl.String,
    "kind": pl.String,
    "prompt": pl.String,
    "image": pl.String,
    "value": pl.Float64,
    "mode": pl.String,
    "positions": pl.String,
    "original": pl.String,
    "steered": pl.String,
    "in_picture": pl.Boolean,
    "judge": pl.String,
    "category": pl.String,
    "relevance": pl.Int64,
}
RELEVANCE = "relevance"
SHARES = {
    "judge": pl.String,
    "mode": pl.String,
    "positions": pl.String,
    "value": pl.Float64,
    "measure": pl.String,
    "n": pl.Int64,
    "pictures": pl.Int64,
    "held": pl.Float64,
    "held_low": pl.Float64,
    "held_high": pl.Float64,
    "random": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
}
HOW = ("judge", "mode", "positions", "value")
NOTES = (
    "Answers about pictures that show the thing are left out: there is nothing to bring about.",
    "judge words compares words alone: it knows no_effect, names and unrelated; the published judge is Llama-3.1-70B.",
    "random latents have a similar density and are judged by the thing of the latent that they stand beside.",
    "Intervals of 95 % draw pictures; texts without a picture count as one.",
)


def table(rows: pl.DataFrame, draws: stats.Draws) -> pl.DataFrame:
    """Table `SHARES` of the rows of `steer.shares.ROWS`: shares by category, mean relevance where it was given."""
    own = rows.filter(~pl.col("in_picture").fill_null(False)).with_columns(pl.col("image").fill_null(""))
    found: list[dict[str, Any]] = []
    for key, some in own.group_by(*HOW, maintain_order=True):
        about = dict(zip(HOW, key, strict=True))
        for name in (*CATEGORIES, UNCLEAR):
            found.append({**about, "measure": name, **_beside(some, pl.col("category") == name, draws)})
        if some["relevance"].count():
            known = some.drop_nulls("relevance")
            found.append({**about, "measure": RELEVANCE, **_beside(known, pl.col("relevance"), draws)})
    return pl.DataFrame(found, schema=SHARES)


def _beside(some: pl.DataFrame, what: pl.Expr, draws: stats.Draws) -> dict[str, Any]:
    """Mean of a measure over answers with the latent held, over random latents, and the difference."""
    marked = some.with_columns(marked=what.cast(pl.Float64))
    random = pl.col("kind") == "random"
    held, beside = marked.filter(~random), marked.filter(random)
    pictures = sorted(marked["image"].unique())
    weights = draws.weights(len(pictures))
    mean, control = (_mean(one, pictures, weights) for one in (held, beside))
    low, high = stats.interval(mean[1:])
    more_low, more_high = stats.interval((mean - control)[1:])
    told = {"held": mean[0], "held_low": low, "held_high": high, "random": control[0]}
    told |= {"more": mean[0] - control[0], "more_low": more_low, "more_high": more_high}
    known = {name: None if np.isnan(value) else float(value) for name, value in told.items()}
    return {"n": len(held), "pictures": held["image"].n_unique(), **known}


def _mean(part: pl.DataFrame, pictures: list[str], weights: np.ndarray) -> np.ndarray:
    """Mean under every draw of pictures, float64 [1 + resample]; NaN where a draw has no answer."""
    by = {picture: place for place, picture in enumerate(pictures)}
    place = np.array([by[one] for one in part["image"]], np.int64)
    total = np.bincount(place, part["marked"].to_numpy(), len(pictures))
    with np.errstate(invalid="ignore"):
        return (weights @ total) / (weights @ np.bincount(place, minlength=len(pictures)))
