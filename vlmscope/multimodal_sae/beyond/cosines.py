"""Cosines of many directions with many others, a few rows at a time: no matrix of all pairs is kept.

Notation: A and B numbers of directions, d units; directions are rows of length 1.
"""

from collections.abc import Iterator

import numpy as np

TINY = 1e-12
# Cosines that are there at a time.
DENSE = 1 << 26


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows at length 1; those of length 0 stay what they are."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)


def blocks(left: np.ndarray, right: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First row of a block and its cosines [some, B]."""
    step = max(1, DENSE // max(1, len(right)))
    for start in range(0, len(left), step):
        yield start, left[start : start + step] @ right.T


def nearest(left: np.ndarray, right: np.ndarray, *, absolute: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Largest cosine of every direction with any of the others, float32 [A], and which one that is, int64 [A].

    absolute   opposite directions are near, too
    """
    value, place = np.zeros(len(left), np.float32), np.zeros(len(left), np.int64)
    for start, found in blocks(left, right):
        part = slice(start, start + len(found))
        place[part] = (np.abs(found) if absolute else found).argmax(1)
        value[part] = np.take_along_axis(found, place[part, None], 1)[:, 0]
    return np.abs(value) if absolute else value, place


def neighbours(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines [A, count] and numbers of the nearest other rows of each row, nearest first."""
    count = min(count, len(rows) - 1)
    values, places = [], []
    for start, found in blocks(rows, rows):
        found[np.arange(len(found)), start + np.arange(len(found))] = -np.inf
        best = np.argpartition(-found, count - 1, axis=1)[:, :count]
        value = np.take_along_axis(found, best, 1)
        order = np.argsort(-value, axis=1, kind="stable")
        values.append(np.take_along_axis(value, order, 1))
        places.append(np.take_along_axis(best, order, 1))
    return np.concatenate(values), np.concatenate(places)


def alike(rows: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Random directions with the covariance of some rows, float32 [count, d]: chance in the space that they fill."""
    own = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(own.T.astype(np.float64) @ own)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T.astype(np.float32)
    return unit(generator.standard_normal((count, rows.shape[1]), np.float32) @ root)


def axes(rows: np.ndarray) -> np.ndarray:
    """Principal axes of some rows and their opposites, float32 [2 d, d]."""
    own = (rows - rows.mean(0)).astype(np.float64)
    vectors = np.linalg.eigh(own.T @ own)[1].T.astype(np.float32)
    return np.concatenate([vectors, -vectors])
