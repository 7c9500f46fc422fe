"""Noise for output weights, and neurons drawn at random to compare with (mm_neurons.md 2.9)."""

import numpy as np

# Layers and units of some neurons, int64 [k] each.
Places = tuple[np.ndarray, np.ndarray]


def drawn(shape: tuple[int, int], k: int, seed: int) -> Places:
    """k different neurons from anywhere; the first of them are those that a smaller k would give.

    shape   layers, units per layer
    """
    chosen = np.random.default_rng(seed).permutation(shape[0] * shape[1])[:k]
    return chosen // shape[1], chosen % shape[1]


def like(layers: np.ndarray, units: int, seed: int) -> Places:
    """Different neurons in the same layers, one for one: the first k match the layers of the first k.

    layers   int [k]   of the neurons that are matched
    units    units per layer
    """
    generator = np.random.default_rng(seed)
    found = np.zeros(len(layers), dtype=np.int64)
    for layer in np.unique(layers):
        here = np.flatnonzero(layers == layer)
        found[here] = generator.permutation(units)[: len(here)]
    return np.asarray(layers).astype(np.int64), found


def rows(k: int, d: int, seed: int) -> np.ndarray:
    """Standard normal noise, a row per neuron, float32 [k, d]; a smaller k gives the first rows."""
    return np.random.default_rng(seed).standard_normal((k, d), dtype=np.float32)


def scale(sigma: float, sizes: np.ndarray | None, places: Places) -> np.ndarray:
    """Standard deviation of the noise of each neuron, float32 [k, 1].

    sizes   float32 [layer, unit]   what sigma is multiplied with; None for sigma itself
    """
    factor = np.ones(len(places[0]), np.float32) if sizes is None else sizes[places]
    return np.float32(sigma) * factor[:, None]
