"""Sparse codes of all samples at once against scikit-learn's loop over samples: same loss, one process.

    python tests/bench/dictionaries.py [--samples 250] [--units 128] [--k 10] [--repeats 3] [--pymf FOLDER]

Both make the same dictionary in the same steps; the baseline is `DictionaryLearning` as the released code sets it up.
Semi-NMF is held against PyMF 0.1.9, from the same codes and for as many steps; FOLDER is `lib/pymf` of its source
archive, which is written for Python 2 and so not installed. Times are CPU seconds in one thread, the smallest of the
repeats; further columns give both losses and the largest difference between concepts.
"""

import argparse
import importlib
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
from sklearn.cluster import KMeans
from sklearn.decomposition import DictionaryLearning

from vlmscope.metrics.concepts import cosines, matched
from vlmscope.xl_vlms.dictionaries import dictionary, semi_nmf

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


def sparse(values: np.ndarray, k: int, repeats: int) -> str:
    """The line about sparse codes."""
    ours = [seconds(lambda: dictionary.fit(values, "snmf", k, max_iter=STEPS)) for _ in range(repeats)]
    theirs = [seconds(lambda: baseline(values, k)) for _ in range(repeats)]
    own, other = ours[0][1], theirs[0][1]
    rows, columns = matched(cosines(own.concepts, other.components_))
    apart = np.abs(own.concepts[rows] - other.components_[columns]).max()
    return compared("scikit-learn", ours, theirs, own.costs[-1], other.error_[-1], apart)


def semi(values: np.ndarray, k: int, repeats: int, pymf: str) -> str:
    """The line about semi-NMF."""
    if not pymf:
        return "PyMF is not given (--pymf): skipped"
    sys.path.insert(0, pymf)
    # Python 2's name for what Python 3 calls range.
    importlib.import_module("nmf").xrange = range
    labels = KMeans(k, n_init=1, random_state=0).fit(values).labels_
    ours = [seconds(lambda: semi_nmf.learn(values, labels, k, max_iter=STEPS)) for _ in range(repeats)]
    concepts, _, losses = ours[0][1]

    def other() -> tuple[np.ndarray, float]:
        found = importlib.import_module("snmf").SNMF(values.T.astype(np.float64), num_bases=k)
        found.W, found.H = np.zeros((values.shape[1], k)), (np.eye(k)[labels] + semi_nmf.ABOVE).T
        found.factorize(niter=len(losses))
        return found.W.T, float(found.ferr[-1] ** 2)

    theirs = [seconds(other) for _ in range(repeats)]
    rows, loss = theirs[0][1]
    # PyMF's concepts are those of the codes one update earlier.
    apart = 1 - np.diag(cosines(concepts, rows)).min()
    return compared("PyMF", ours, theirs, losses[-1], loss, apart)


def compared(whose: str, ours: list, theirs: list, loss: float, other: float, apart: float) -> str:
    """Times, their ratio, both losses and the largest difference."""
    fast, slow = (min(time for time, _ in part) for part in (ours, theirs))
    return (
        f"{whose} {slow:.3f} s, vlmscope {fast:.3f} s, ratio {slow / fast:.1f}, loss {other:.6g} and {loss:.6g}, "
        f"concepts differ by {apart:.1e}"
    )


def main() -> None:
    """Print a line per method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pymf", default="")
    told = parser.parse_args()
    values = planted(told.samples, told.units, told.k)
    size = f"{told.samples} x {told.units}, K = {told.k}:"
    print("snmf,", size, sparse(values, told.k, told.repeats))
    print("semi_nmf,", size, semi(values, told.k, told.repeats, told.pymf))


if __name__ == "__main__":
    main()
