"""Latents that are steered: those whose firing agrees best with a word about the picture, and random ones beside them.

The agreement is that of the latent's mean over the first view with whether the word is said of the picture: the area
under the ROC curve.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.selection import whole_words

FEATURES = {
    "word": pl.String,
    "kind": pl.String,
    "feature": pl.Int64,
    "auc": pl.Float64,
    "density": pl.Float64,
    "highest": pl.Float64,
    "n_with": pl.Int64,
    "n_without": pl.Int64,
}
# How many times as many neighbours in density random latents are drawn from.
WIDER = 5


class Pooled:
    """What is kept of every picture, in place of a cache: means over the first view, float32 [picture, latent].

    fired     int64 [latent]     positions at which it fires
    highest   float32 [latent]   its highest value
    """

    def __init__(self, latents: int) -> None:
        self.rows: list[np.ndarray] = []
        self.fired, self.highest, self.seen = np.zeros(latents, np.int64), np.zeros(latents, np.float32), 0

    def add(self, idx: np.ndarray, val: np.ndarray, look: str = "", grid: tuple[int, int] | None = None) -> None:
        """Add the next picture: latents and values [position, k]."""
        total = np.bincount(idx.ravel(), val.ravel().astype(np.float64), len(self.fired))
        self.rows.append((total / len(idx)).astype(np.float32))
        self.fired += np.bincount(idx[val > 0], minlength=len(self.fired))
        np.maximum.at(self.highest, idx.ravel(), val.ravel())
        self.seen += len(idx)

    @property
    def means(self) -> np.ndarray:
        """Of all pictures."""
        return np.stack(self.rows)

    @property
    def density(self) -> np.ndarray:
        """Share of positions at which each latent fires."""
        return self.fired / max(1, self.seen)


def said(answer: str) -> str:
    """All texts of an official answer, joined; the names of its fields are not among them."""
    return " | ".join(_texts(json.loads(answer)))


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _texts(one)
    elif isinstance(part, str):
        yield part


def names(word: str, texts: Sequence[str]) -> np.ndarray:
    """Which texts have a word as a whole, alone or with an s behind it: bool [text]."""
    pattern = whole_words([word, f"{word}s"])
    return np.array([pattern.search(one) is not None for one in texts], bool)


def auc(means: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of every latent, float64 [latent]; .5 for one that never fires.

    means   [picture, latent]
    there   bool [picture], of which some are true and some are not
    """
    from scipy.stats import rankdata

    ranks, n = rankdata(means, axis=0), int(there.sum())
    return (ranks[there].sum(0) - n * (n + 1) / 2) / (n * (len(there) - n))


@dataclass(frozen=True)
class Feature:
    """A latent and the word that it may stand for.

    kind   found, given, or random
    """

    word: str
    kind: str
    latent: int


def choose(
    pooled: Pooled, texts: Sequence[str], words: Sequence[str], given: Sequence[Feature], random: int, seed: int
) -> tuple[list[Feature], pl.DataFrame]:
    """Features, and a table about them, `FEATURES`: the best latent per word, given ones, random ones beside each.

    texts    what is said of every picture
    random   latents beside every feature, of similar density, none of them a feature
    """
    means, density = pooled.means, pooled.density
    there = {word: names(word, texts) for word in dict.fromkeys([*words, *(one.word for one in given)])}
    if lacking := [word for word in words if there[word].all() or not there[word].any()]:
        raise VlmscopeError(
            f"No latent can be found for words of all pictures or of none: {', '.join(lacking)}.",
            where="multimodal_sae.steer.words",
            instead="words that some of the pictures have",
        )
    areas = {word: auc(means, one) for word, one in there.items() if one.any() and not one.all()}
    chosen = list(given)
    for word in words:
        free = np.ones(len(density), bool)
        free[[one.latent for one in chosen]] = False
        chosen.append(Feature(word, "found", int(np.where(free, areas[word], -1).argmax())))
    generator = np.random.default_rng(seed)
    taken = [one.latent for one in chosen]
    for one in list(chosen):
        chosen += [Feature(one.word, "random", k) for k in beside(density, one.latent, taken, random, generator)]
    rows = [
        {
            **{"word": one.word, "kind": one.kind, "feature": one.latent},
            "auc": float(areas[one.word][one.latent]) if one.word in areas else None,
            "density": float(density[one.latent]),
            "highest": float(pooled.highest[one.latent]),
            **{"n_with": int(there[one.word].sum()), "n_without": int((~there[one.word]).sum())},
        }
        for one in chosen
    ]
    return chosen, pl.DataFrame(rows, schema=FEATURES)


def beside(
    density: np.ndarray, latent: int, taken: Sequence[int], count: int, generator: np.random.Generator
) -> list[int]:
    """Random latents, none of those that are taken, among those whose density is nearest."""
    alive = np.setdiff1d(np.flatnonzero(density > 0), taken)
    if len(alive) < count:
        raise VlmscopeError(
            f"Only {len(alive)} other latents fire, {count} are wanted beside each.",
            where="multimodal_sae.steer.random",
            instead="fewer, or more pictures",
        )
    far = np.abs(np.log(density[alive]) - np.log(max(density[latent], density[alive].min())))
    near = alive[np.argsort(far, kind="stable")][: WIDER * count]
    return generator.choice(near, count, replace=False).tolist()
