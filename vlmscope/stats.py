"""Intervals and resampling."""

import math
from typing import NamedTuple

import numpy as np

Z95 = 1.959963984540054


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Wilson 95 % interval of a share; (nan, nan) for n = 0."""
    if n == 0:
        return math.nan, math.nan
    share, z2 = successes / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # When every row agrees, the share is a bound itself; rounding must not put it outside by a last place.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def bootstrap_mean(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile 95 % interval of a mean over rows, float [row]."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    means = values[generator.integers(0, len(values), (resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


class Draws(NamedTuple):
    """A bootstrap: resamples, and the seed of what they draw."""

    resamples: int
    seed: int

    def mean(self, values: np.ndarray) -> tuple[float, float, float]:
        """Mean of rows with its 95 % interval; all NaN where there is no row."""
        return (float(np.mean(values)) if len(values) else math.nan, *bootstrap_mean(values, *self))

    def weights(self, n: int) -> np.ndarray:
        """How often each of n rows is drawn, float64 [1 + resample, n]; first the data themselves, once each."""
        if not n:
            return np.zeros((1 + self.resamples, 0))
        drawn = np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), self.resamples)
        return np.concatenate([np.ones((1, n)), drawn])


def interval(values: np.ndarray) -> tuple[float, float]:
    """Percentile 95 % interval of what resamples gave; those without a value (NaN) are left out."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (math.nan, math.nan)
    return float(low), float(high)


def mean_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean with its 95 % interval: Wilson for 0/1 rows, bootstrap otherwise (mmneuron.md 6)."""
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean()) if len(values) else math.nan
    if np.isin(values, (0.0, 1.0)).all():
        return (mean, *wilson(values.sum(), len(values)))
    return (mean, *bootstrap_mean(values, resamples, seed))


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided p of McNemar's test: rows right before and wrong after, and the other way round."""
    n = lost + gained
    # n over k, each from the one before. Whole numbers of any size divide exactly; floats of 2 ** n would overflow.
    ways, tail = 1, 1
    for k in range(min(lost, gained)):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**n)


def sign_flip(differences: np.ndarray, resamples: int, seed: int) -> float:
    """Two-sided p of a paired permutation test: how often random signs give a mean at least as far from zero."""
    differences = np.asarray(differences, dtype=np.float64)
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(moved)))
    # The data themselves count as one draw: no p of zero.
    reached = np.abs(signs @ moved) >= abs(moved.sum()) * (1 - 1e-12)
    return float((reached.sum() + 1) / (resamples + 1))


def paired(before: np.ndarray, after: np.ndarray, resamples: int, seed: int) -> tuple[str, float]:
    """Name and p of the test of a change within rows: McNemar for 0/1 rows, else sign flips of the differences."""
    before, after = (np.asarray(one, dtype=np.float64) for one in (before, after))
    if np.isin([before, after], (0.0, 1.0)).all():
        return "mcnemar", mcnemar(int((before > after).sum()), int((after > before).sum()))
    return "sign_flip", sign_flip(after - before, resamples, seed)
