"""Which latent is a word's own? Best latent and threshold on one half of the pictures, IoU on the other.

Regions are patches: a patch shows a word where instances of which it is true cover a quarter of it. IoU is that of all
patches of a half together. No explainer takes part, so this compares autoencoders alone (tiny_world.md 6.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.cache.files import Cache
from vlmscope.multimodal_sae.explain.oracle import Truth
from vlmscope.multimodal_sae.explain.shown import grid, halves
from vlmscope.stats import Draws, interval

# A latent counts as active above this share of its highest value.
THRESHOLDS = (0.0, 0.1, 0.25, 0.5)
COVERED = 0.25
ALL, DIFFERENCE = "mean", "trained - untrained"
# The interval of 95 % draws pictures; `mean` and `trained - untrained` are over all words.
CLASSES = {
    "coder": pl.String,
    "kind": pl.String,
    "word": pl.String,
    "latent": pl.Int64,
    "threshold": pl.Float64,
    "iou_reference": pl.Float64,
    "iou": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "pictures": pl.Int64,
}


@dataclass(frozen=True)
class Chosen:
    """The best latents of all words, and what they do on the held-out pictures.

    latent, threshold, reference   [word]
    both, either                   int64 [picture, word]   patches of intersection and union
    """

    latent: np.ndarray
    threshold: np.ndarray
    reference: np.ndarray
    both: np.ndarray
    either: np.ndarray


def targets(truth: Truth, words: Sequence[str], pictures: int, side: int) -> np.ndarray:
    """Where every word is shown, bool [picture, word, patch], for side x side patches."""
    found = np.zeros((pictures, len(words), side, side), bool)
    for image in range(pictures):
        for number, word in enumerate(words):
            # Sixteen samples per patch.
            region = truth.region(image, frozenset([word]), 4 * side)
            if region is not None:
                found[image, number] = region.reshape(side, 4, side, 4).mean((1, 3)) >= COVERED
    return found.reshape(pictures, len(words), side * side)


def agreement(cache: Cache | Active, shows: np.ndarray) -> np.ndarray:
    """IoU of every word with every latent over the reference half, float64 [word, threshold, latent].

    shows   bool [picture, word, patch]
    """
    highest = cache.highest
    both = np.zeros((len(THRESHOLDS), shows.shape[1], cache.latents))
    active = np.zeros((len(THRESHOLDS), cache.latents))
    reference = np.flatnonzero(halves(cache.looks) == 0)
    for image in reference:
        latent, position, value = _first_view(cache, int(image), shows.shape[2])
        for number, share in enumerate(THRESHOLDS):
            kept = value > share * highest[latent]
            active[number] += np.bincount(latent[kept], minlength=cache.latents)
            np.add.at(both[number].T, latent[kept], shows[image][:, position[kept]].T)
    total = shows[reference].sum((0, 2))
    union = active[:, None] + total[None, :, None] - both
    return np.where(union > 0, both / np.maximum(union, 1), 0).transpose(1, 0, 2)


def choose(cache: Cache | Active, shows: np.ndarray, among: np.ndarray | None = None) -> Chosen:
    """Latents and thresholds by the reference half, counts on the other.

    shows   bool [picture, word, patch]
    among   bool [word, latent]   latents that a word may have; all of them unless told otherwise
    """
    scores = agreement(cache, shows)
    if among is not None:
        scores = np.where(among[:, None], scores, -1)
    scores = scores.reshape(len(scores), -1)
    number, latent = np.divmod(scores.argmax(1), cache.latents)
    threshold = np.array(THRESHOLDS)[number] * cache.highest[latent]
    held = np.flatnonzero(halves(cache.looks) == 1)
    counts = [_counts(cache, int(image), shows[image], latent, threshold) for image in held]
    both, either = (np.array(part) for part in zip(*counts, strict=True))
    return Chosen(latent, threshold, scores.max(1), both, either)


def _first_view(cache: Cache | Active, image: int, base: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents, positions and values of a picture's entries."""
    found = cache.entries(image, image + 1)
    kept = found.where[:, 1] < base
    return found.where[kept, 2], found.where[kept, 1], found.value[kept]


def _counts(
    cache: Cache | Active, image: int, shows: np.ndarray, latents: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Patches of intersection and union of every word with its latent in one picture."""
    latent, position, value = _first_view(cache, image, shows.shape[1])
    active = np.zeros(shows.shape, bool)
    for number, (own, least) in enumerate(zip(latents, thresholds, strict=True)):
        active[number, position[(latent == own) & (value > least)]] = True
    return (active & shows).sum(1), (active | shows).sum(1)


def table(caches: dict[str, Cache], truth: Truth, draws: Draws) -> pl.DataFrame:
    """Table `CLASSES` of autoencoders over the same pictures."""
    words, first = truth.words, next(iter(caches.values()))
    shows = targets(truth, list(words), len(first.samples), grid(first))
    found: list[dict[str, Any]] = []
    means: dict[str, np.ndarray] = {}
    for coder, cache in caches.items():
        best = choose(cache, shows)
        drawn = _drawn(best, draws)
        means[coder] = np.nanmean(drawn, axis=1)
        for number, (word, kind) in enumerate(words.items()):
            told = {"kind": kind, "word": word, "latent": int(best.latent[number])}
            told |= {"threshold": float(best.threshold[number]), "iou_reference": float(best.reference[number])}
            found.append({"coder": coder, **told, **_told(drawn[:, number], len(best.both))})
        overall = {"word": ALL, "iou_reference": float(best.reference.mean())}
        found.append({"coder": coder, **overall, **_told(means[coder], len(best.both))})
    if {"trained", "untrained"} <= set(means):
        gap = means["trained"] - means["untrained"]
        found.append({"coder": DIFFERENCE, "word": ALL, **_told(gap, len(best.both))})
    return pl.DataFrame(found, schema=CLASSES)


def _drawn(best: Chosen, draws: Draws) -> np.ndarray:
    """IoU of every word on the pictures themselves and on resamples, float64 [1 + resample, word]."""
    weights = draws.weights(len(best.both))
    both, either = weights @ best.both, weights @ best.either
    return np.where(either > 0, both / np.maximum(either, 1e-9), np.nan)


def _told(values: np.ndarray, pictures: int) -> dict[str, Any]:
    low, high = interval(values[1:])
    return {"iou": float(values[0]), "low": low, "high": high, "pictures": pictures}
