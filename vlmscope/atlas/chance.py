"""What overlap is due to chance alone.

Notation: of N units of a layer D are in one set and M in another; drawn at random, their overlap is hypergeometric.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np

# N, D, M of one layer.
Sizes = tuple[int, int, int]


def overlap(layers: Sequence[Sizes]) -> np.ndarray:
    """Probability of every overlap when each layer keeps its own sizes: float64 [overlap], from 0.

    A sum over layers, exactly: what drawing sets at random layer by layer would come to.
    """
    from scipy.stats import hypergeom

    parts = [hypergeom.pmf(np.arange(min(one[1:]) + 1), *one) for one in layers]
    return reduce(np.convolve, parts, np.ones(1))


def two_sided(chances: np.ndarray, seen: int) -> float:
    """Twice the smaller tail, the overlap itself in both."""
    return min(1.0, 2 * min(float(chances[seen:].sum()), float(chances[: seen + 1].sum())))


def middle(chances: np.ndarray) -> tuple[float, int, int]:
    """Mean overlap, and the range that 95 % of random sets stay within."""
    total = np.cumsum(chances)
    low, high = (int(np.searchsorted(total, share * total[-1])) for share in (0.025, 0.975))
    return float(np.arange(len(chances)) @ chances), low, min(high, len(chances) - 1)


def discoveries(p: Sequence[float]) -> np.ndarray:
    """Adjusted for the number of tests (Benjamini and Hochberg): the share of false ones among those up to here."""
    from scipy.stats import false_discovery_control

    return false_discovery_control(np.asarray(p, dtype=np.float64)) if len(p) else np.zeros(0)
