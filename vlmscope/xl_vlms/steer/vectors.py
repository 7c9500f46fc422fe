"""Directions that steer: differences of means, of concepts, and what they are held against (xl_vlms.md 2.10).

Notation: B [M, D] base vectors, T [N, D] target vectors, U [K, D] concepts, s [D] a steering vector.
"""

from collections.abc import Sequence

import numpy as np

from vlmscope.errors import VlmscopeError


def shift_of_means(base: np.ndarray, target: np.ndarray) -> np.ndarray:
    """s = mean(T) - mean(B), float32 [D]."""
    return _mean(target, "target") - _mean(base, "base")


def from_concepts(concepts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """s = mean(T) - mean over the concepts of the base: every concept counts alike, however many samples it has."""
    return _mean(target, "target") - _mean(concepts, "base")


def pairs(concepts: np.ndarray) -> np.ndarray:
    """s_ij = u_j - u_i, which leads from concept i to concept j, float32 [K, K, D].

    The released code has u_i - u_j under the same name [differs: xl_vlms.md 8 #12].
    """
    return (concepts[None, :] - concepts[:, None]).astype(np.float32)


def without(vector: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """What is left of a vector at right angles to all the others, float32 [D]."""
    if not len(others):
        return vector.astype(np.float32)
    span = np.stack(others).astype(np.float64)
    shares = np.linalg.lstsq(span.T, vector.astype(np.float64), rcond=None)[0]
    return (vector - shares @ span).astype(np.float32)


def composed(vectors: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """A weighted sum, float32 [D]."""
    return np.einsum("k,kd->d", np.asarray(weights), np.stack(vectors)).astype(np.float32)


def random_like(vector: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Gaussian directions as long as the vector, float32 [draw, D]; fewer draws are the first of more."""
    drawn = np.random.default_rng(seed).standard_normal((draws, len(vector)))
    return as_long(drawn, vector)


def shuffled_like(base: np.ndarray, target: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Differences of means of the same samples after their labels were shuffled, as long as the real one.

    float32 [draw, D]. Unlike random directions they point where states differ anyway; nothing tells towards which end,
    so every second one is the opposite of the one before.
    """
    both, vector = np.concatenate([base, target]).astype(np.float64), shift_of_means(base, target)
    generator, cut = np.random.default_rng(seed), len(base)
    found = np.zeros((draws, len(vector)))
    for place in range(0, draws, 2):
        order = generator.permutation(len(both))
        found[place] = both[order[cut:]].mean(axis=0) - both[order[:cut]].mean(axis=0)
        found[place + 1 : place + 2] = -found[place]
    return as_long(found, vector)


def as_long(directions: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Directions [draw, D] at the length of a vector, float32."""
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    return (directions * (np.linalg.norm(vector) / np.where(lengths > 0, lengths, 1))).astype(np.float32)


def fewer(base: np.ndarray, target: np.ndarray, n: int, draws: int, seed: int) -> np.ndarray:
    """Shifts of the means of n base and n target samples each, drawn at random, float32 [draw, D]."""
    if n > min(len(base), len(target)):
        raise VlmscopeError(
            f"There are {len(base)} base and {len(target)} target vectors, fewer than {n}.",
            where="xl_vlms.steer.sweep.samples",
            instead="smaller numbers",
        )
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        some = [one[generator.choice(len(one), n, replace=False)] for one in (base, target)]
        found.append(shift_of_means(*some))
    return np.array(found, dtype=np.float32)


def nearest(values: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """Number of the nearest concept of every row, int64 [M]."""
    squares = ((values[:, None].astype(np.float64) - concepts[None]) ** 2).sum(axis=-1)
    return squares.argmin(axis=1)


def _mean(values: np.ndarray, which: str) -> np.ndarray:
    if not len(values):
        raise VlmscopeError(
            f"No sample is left for the {which} of a steering vector.",
            where="xl_vlms.vectors",
            instead="answers or types that occur among the samples of the set, or more samples",
        )
    return values.astype(np.float64).mean(axis=0).astype(np.float32)
