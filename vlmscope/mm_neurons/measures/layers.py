"""In which layers are a word's neurons? (mm_neurons.md 6.6; ours). Notation as in `sets`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.measures.sets import WIDTH, Sets
from vlmscope.mm_neurons.rank.lists import Kind
from vlmscope.stats import Draws

# count: neurons of all sets in the layer, the same neuron as often as it is in a set; unique_count: once.
LAYERS = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "layer": pl.Int64,
    "count": pl.Int64,
    "unique_count": pl.Int64,
}
# mean: layer of a set's neurons, counted from 0, mean over images, with its interval; entropy of the counts in nats,
# that of equal counts beside it; n: images; nouns: sets.
PROFILE = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    "mean_layer": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "entropy": pl.Float64,
    "entropy_most": pl.Float64,
    "layers": pl.Int64,
    "n": pl.Int64,
    "nouns": pl.Int64,
}


def counts(chosen: Sets, k: int, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Neurons of all sets per layer, each as often as it occurs and each once: int64 [layer] both."""
    best = chosen.best(k)
    return tuple(np.bincount(one.ravel() // WIDTH, minlength=layers) for one in (best, np.unique(best)))


def entropy(count: np.ndarray) -> float:
    """Entropy of a histogram, nats; NaN where it is empty."""
    if not count.sum():
        return np.nan
    share = count[count > 0] / count.sum()
    return float(-(share * np.log(share)).sum())


def rows(kind: Kind, chosen: Sets, *, sizes: Sequence[int], layers: int) -> list[dict[str, Any]]:
    """Rows of `LAYERS` of one activation and method; none for sizes beyond the length of the lists."""
    found = []
    for k in (k for k in sizes if k <= chosen.keep):
        both = zip(*counts(chosen, k, layers), strict=True)
        found += [
            {"method": kind[1], "activation": kind[0], "k": k, "layer": layer, "count": count, "unique_count": once}
            for layer, (count, once) in enumerate(both)
        ]
    return found


def profile(kind: Kind, chosen: Sets, *, sizes: Sequence[int], layers: int, draws: Draws) -> list[dict[str, Any]]:
    """Rows of `PROFILE` of one activation and method."""
    found = []
    for k in sizes:
        use = chosen if k <= chosen.keep else chosen.only(np.zeros(len(chosen), bool))
        middle, low, high = draws.mean(_by_image(use, k))
        found.append(
            {
                "method": kind[1],
                "activation": kind[0],
                "k": k,
                "mean_layer": middle,
                "ci_low": low,
                "ci_high": high,
                "entropy": entropy(counts(use, k, layers)[0]),
                "entropy_most": float(np.log(layers)),
                "layers": layers,
                "n": len(set(use.images)),
                "nouns": len(use),
            }
        )
    return found


def _by_image(chosen: Sets, k: int) -> np.ndarray:
    means = (chosen.best(k) // WIDTH).mean(axis=1) if len(chosen) else np.zeros(0)
    return sets.by_image(means, chosen.images)


def from_files(
    paths: Sequence[str], tokens: str, *, k: Sequence[int], bootstrap: int, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `LAYERS` and `PROFILE` of all activations and methods.

    paths    files of lists
    tokens   table of decoded neurons, which tells how many layers there are
    """
    draws, layers = Draws(bootstrap, seed), sets.shape(tokens)[0]
    found, told = [], []
    for kind, chosen in sets.read(paths, max(k)).items():
        found += rows(kind, chosen, sizes=k, layers=layers)
        told += profile(kind, chosen, sizes=k, layers=layers, draws=draws)
    return sets.frame(found, LAYERS), sets.frame(told, PROFILE)
