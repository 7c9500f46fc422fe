"""Sparse codes of all samples at once against scikit-learn's loop over samples: same loss, one process.

    python tests/bench/dictionaries.py [--samples 250] [--units 128] [--k 10] [--repeats 3]

Both make the same dictionary in the same steps; the baseline is `DictionaryLearning` as the released code sets it up.
Times are CPU seconds in one thread, the smallest of the repeats; further columns give both losses and the largest
difference between concepts.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from sklearn.decomposition import DictionaryLearning

from vlmscope.metrics.concepts import cosines, matched
from vlmscope.xl_vlms import dictionary

STEPS = 5000


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of one call, and what it gave."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def planted(samples: int, units: int, k: int) -> np.ndarray:
    """Sparse mixtures of directions with noise, float32 [samples, units]."""
    generator = np.random.default_rng(0)
    mixed = generator.gamma(0.5, 5, (samples, k)) @ generator.normal(size=(k, units))
    return (mixed + generator.normal(size=(samples, units))).astype(np.float32)


def baseline(values: np.ndarray, k: int) -> DictionaryLearning:
    """The released setting."""
    kept = {"positive_code": True, "fit_algorithm": "cd", "transform_algorithm": "lasso_cd", "tol": 1e-8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DictionaryLearning(k, max_iter=STEPS, transform_max_iter=1000, random_state=0, **kept).fit(values)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    values = planted(told.samples, told.units, told.k)
    ours = [seconds(lambda: dictionary.fit(values, "snmf", told.k, max_iter=STEPS)) for _ in range(told.repeats)]
    theirs = [seconds(lambda: baseline(values, told.k)) for _ in range(told.repeats)]
    fast, slow = (min(time for time, _ in part) for part in (ours, theirs))
    own, other = ours[0][1], theirs[0][1]
    rows, columns = matched(cosines(own.concepts, other.components_))
    apart = np.abs(own.concepts[rows] - other.components_[columns]).max()
    print(
        f"snmf, {told.samples} x {told.units}, K = {told.k}: scikit-learn {slow:.2f} s, all samples at once "
        f"{fast:.2f} s, ratio {slow / fast:.1f}, loss {other.error_[-1]:.6g} and {own.costs[-1]:.6g}, "
        f"concepts differ by {apart:.1e}"
    )


if __name__ == "__main__":
    main()
