"""Do different words have different neurons? (mm_neurons.md 6.5; ours).

Notation as in `sets`.
    specificity   1 - mean |S(x, w, k) & S(x, w', k)| / k over pairs of different nouns of an image, then over images
    per neuron    number of different nouns, over all images, that have it among their k best
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.measures.sets import Sets
from vlmscope.mm_neurons.rank.lists import Kind
from vlmscope.stats import Draws

# n: images with two nouns or more; pairs of nouns within them; neurons that any noun has among its k best; nouns.
SPECIFICITY = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "specificity": pl.Float64,
    "mean_nouns_per_neuron": pl.Float64,
    "n": pl.Int64,
    "paper": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "pairs": pl.Int64,
    "neurons": pl.Int64,
    "nouns": pl.Int64,
}


def within_images(chosen: Sets, k: int) -> tuple[np.ndarray, int]:
    """1 - mean overlap over pairs of nouns, of every image with at least two: float64 [image]; and number of pairs."""
    found, pairs = [], 0
    for image in sorted(set(chosen.images)):
        best = chosen.best(k)[chosen.images == image]
        first, second = np.triu_indices(len(best), 1)
        if len(first):
            found.append(1 - (sets.shared(best, best)[first, second] / k).mean())
            pairs += len(first)
    return np.array(found, dtype=np.float64), pairs


def nouns_per_neuron(chosen: Sets, k: int) -> np.ndarray:
    """Different nouns of every neuron that any noun has among its k best: int64 [neuron]."""
    names, places = np.unique(chosen.nouns, return_inverse=True)
    both = np.unique(chosen.best(k) * len(names) + places[:, None])
    return np.unique(both // max(1, len(names)), return_counts=True)[1]


def rows(kind: Kind, chosen: Sets, *, sizes: Sequence[int], draws: Draws) -> list[dict[str, Any]]:
    """Rows of `SPECIFICITY` of one activation and method."""
    return [{"method": kind[1], "activation": kind[0], "k": k, **_row(chosen, k, draws)} for k in sizes]


def _row(chosen: Sets, k: int, draws: Draws) -> dict[str, Any]:
    if not len(chosen) or k > chosen.keep:
        return {"n": 0, "pairs": 0, "neurons": 0, "nouns": 0}
    (values, pairs), counts = within_images(chosen, k), nouns_per_neuron(chosen, k)
    middle, low, high = draws.mean(values)
    return {
        "specificity": middle,
        "ci_low": low,
        "ci_high": high,
        "mean_nouns_per_neuron": float(counts.mean()),
        "n": len(values),
        "pairs": pairs,
        "neurons": len(counts),
        "nouns": len(set(chosen.nouns)),
    }


def from_files(paths: Sequence[str], *, k: Sequence[int], bootstrap: int, seed: int) -> pl.DataFrame:
    """Table `SPECIFICITY` of all activations and methods.

    paths   files of lists
    """
    draws, found = Draws(bootstrap, seed), []
    for kind, chosen in sets.read(paths, max(k)).items():
        found += rows(kind, chosen, sizes=k, draws=draws)
    return sets.frame(found, SPECIFICITY)
