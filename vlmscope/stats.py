"""Intervals and resampling."""

import math

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


def mean_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean with its 95 % interval: Wilson for 0/1 rows, bootstrap otherwise (mmneuron.md 6)."""
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean()) if len(values) else math.nan
    if np.isin(values, (0.0, 1.0)).all():
        return (mean, *wilson(values.sum(), len(values)))
    return (mean, *bootstrap_mean(values, resamples, seed))
