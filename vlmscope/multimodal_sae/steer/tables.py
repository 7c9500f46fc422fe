"""How often answers about pictures without a thing name it under steering, beside random latents and no steering."""

from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.multimodal_sae.steer.features import names

EFFECTS = {
    "word": pl.String,
    "kind": pl.String,
    "mode": pl.String,
    "positions": pl.String,
    "value": pl.Float64,
    "n": pl.Int64,
    "pictures": pl.Int64,
    "named": pl.Float64,
    "named_low": pl.Float64,
    "named_high": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "same": pl.Float64,
}
HOW = ("mode", "positions", "value")
# What a reader who knows the published work would stumble over.
NOTES = (
    "Answers are judged by their words alone; the published judge is a language model.",
    "Only pictures without the word count; `more` is above random latents of similar density, pictures resampled.",
    "mode replace is the released one; rebuilt is the reconstruction alone, which changes answers by itself.",
)
ALL = "all"


def effects(steering: pl.DataFrame, resamples: int, seed: int) -> pl.DataFrame:
    """Shares by word, and over all words, kind and clamp, `EFFECTS`; the interval is over pictures."""
    found = _counted(steering)
    if found.is_empty():
        return pl.DataFrame(schema=EFFECTS)
    draws = stats.Draws(resamples, seed)
    rows: list[dict[str, Any]] = []
    for (word,), part in [((ALL,), found), *found.group_by("word", maintain_order=True)]:
        rows += _plain(word, part, draws)
        for key, some in part.group_by(*HOW, maintain_order=True):
            random = some.filter(pl.col("kind") == "random")
            for kind in ("given", "found", "random"):
                own = some.filter(pl.col("kind") == kind)
                if len(own):
                    beside = random if kind != "random" and len(random) else None
                    told = {"word": word, "kind": kind, **dict(zip(HOW, key, strict=True))}
                    rows.append(told | _shares(own, "named", "same", draws, beside))
    return pl.DataFrame(rows, schema=EFFECTS)


def _counted(steering: pl.DataFrame) -> pl.DataFrame:
    """Answers about pictures without the word, with what is in the answers: with the clamp, rebuilt, plain."""
    by = ["prompt", "image"]
    rebuilt = steering.filter(pl.col("kind") == "rebuilt").select(*by, rebuilt="steered")
    found = steering.filter((pl.col("image") != "") & pl.col("word").is_not_null() & ~pl.col("in_picture")).join(
        rebuilt, on=by
    )
    texts = {"named": "steered", "named_rebuilt": "rebuilt", "named_plain": "original"}
    marks = {
        mark: [bool(names(word, [text])[0]) for word, text in found.select("word", text).iter_rows()]
        for mark, text in texts.items()
    }
    marked = found.with_columns(pl.Series(mark, one, pl.Boolean) for mark, one in marks.items())
    return marked.with_columns(
        same=pl.col("steered") == pl.col("original"), same_rebuilt=pl.col("rebuilt") == pl.col("original")
    )


def _plain(word: str, part: pl.DataFrame, draws: stats.Draws) -> list[dict[str, Any]]:
    """Rows without a feature: once per word, prompt and picture."""
    once = part.unique(["word", "prompt", "image"], maintain_order=True).with_columns(same_plain=pl.lit(True))
    kinds = (("plain", "none"), ("rebuilt", "replace"))
    return [
        {"word": word, "kind": kind, "mode": mode, **_shares(once, f"named_{kind}", f"same_{kind}", draws, None)}
        for kind, mode in kinds
    ]


def _shares(
    own: pl.DataFrame, named: str, same: str, draws: stats.Draws, beside: pl.DataFrame | None
) -> dict[str, Any]:
    """Share of answers that name the word, and how much more often than `beside`, with intervals over pictures."""
    pictures = sorted(own["image"].unique())
    weights = draws.weights(len(pictures))
    share = _share(own, named, pictures, weights)
    told = {"n": len(own), "pictures": len(pictures), "named": share[0], "same": own[same].mean()}
    told |= dict(zip(("named_low", "named_high"), stats.interval(share[1:]), strict=True))
    if beside is not None:
        more = share - _share(beside, named, pictures, weights)
        told |= dict(zip(("more_low", "more_high"), stats.interval(more[1:]), strict=True)) | {"more": more[0]}
    return told


def _share(part: pl.DataFrame, named: str, pictures: list[str], weights: np.ndarray) -> np.ndarray:
    """Share under every draw of pictures, float64 [1 + resample]; NaN where a draw has no answer."""
    by = dict(zip(pictures, range(len(pictures)), strict=True))
    place = np.array([by[one] for one in part["image"]])
    hits = np.bincount(place, part[named].to_numpy().astype(float), len(pictures))
    with np.errstate(invalid="ignore"):
        return (weights @ hits) / (weights @ np.bincount(place, minlength=len(pictures)))
