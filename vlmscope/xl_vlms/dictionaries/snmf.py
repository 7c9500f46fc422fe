"""Sparse dictionaries with codes that are never negative: what the released code calls snmf (xl_vlms.md 2.5).

Notation: Z [M, D] vectors, V [M, K] codes, U [K, D] concepts, alpha weight of sparsity.
    J = 0.5 |Z - V U|^2 + alpha sum(V),   V >= 0, |u_k| <= 1
All sums are over small matrices, V'V, V'Z, U U' and Z U', and every coordinate is set for all samples at once; the
steps and their order are those of scikit-learn's DictionaryLearning.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# Where J falls by less than this share of itself it stops.
TOLERANCE = 1e-8
# A code has settled when no coordinate moved by more than this share of the largest.
SETTLED = 1e-6
# Codes that have not settled by then, where concepts are almost alike, are solved one by one.
SWEEPS = 10
# Keeps concepts that are exactly alike apart, as a share of their squared length.
RIDGE = 1e-9
# Below it a concept counts as unused and is drawn anew.
UNUSED = 1e-6


def codes(values: Matrix, concepts: Matrix, alpha: float, start: Matrix | None = None) -> Matrix:
    """The codes that make J least for given concepts, float64 [M, K]; by coordinates in turn.

    start   codes to begin with; zeros by default
    """
    gram, known = concepts @ concepts.T, values @ concepts.T
    found = np.zeros_like(known) if start is None else start.copy()
    open_rows = np.arange(len(found))
    for _ in range(SWEEPS):
        moved, largest = _sweep(found, gram, known, alpha, open_rows)
        open_rows = open_rows[moved > SETTLED * largest]
        if not len(open_rows):
            return found
    found[open_rows] = _exact(gram, known[open_rows] - alpha)
    return found


def _exact(gram: Matrix, target: Matrix) -> Matrix:
    """The same codes by active sets, row by row: least 0.5 v G v - t v over v >= 0 is a least-squares problem."""
    from scipy.optimize import nnls

    root = np.linalg.cholesky(gram + RIDGE * (np.trace(gram) / len(gram) or 1.0) * np.eye(len(gram)))
    return np.stack([nnls(root.T, row)[0] for row in np.linalg.solve(root, target.T).T])


def _sweep(found: Matrix, gram: Matrix, known: Matrix, alpha: float, rows: np.ndarray) -> tuple[Matrix, Matrix]:
    """Set every coordinate of some rows once: how far each row moved, and its largest coordinate."""
    own, target = found[rows], known[rows]
    moved = np.zeros(len(rows))
    for k in range(len(gram)):
        if gram[k, k] == 0:
            continue
        rest = target[:, k] - own @ gram[:, k] + own[:, k] * gram[k, k]
        new = np.maximum(0.0, rest - alpha) / gram[k, k]
        moved = np.maximum(moved, np.abs(new - own[:, k]))
        own[:, k] = new
    found[rows] = own
    return moved, own.max(axis=1, initial=0.0)


def cost(values: Matrix, code: Matrix, concepts: Matrix, alpha: float) -> float:
    """J from small matrices; the difference Z - V U is never built."""
    apart = np.vdot(values, values) - 2 * np.vdot(code.T @ values, concepts)
    return float(0.5 * (apart + np.vdot(code.T @ code, concepts @ concepts.T)) + alpha * np.abs(code).sum())


def start(values: Matrix, k: int) -> tuple[Matrix, Matrix]:
    """Codes and concepts from the singular vectors; each code's entry of largest size is positive."""
    left, sizes, right = np.linalg.svd(values, full_matrices=False)
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    left, right = left * signs, (sizes * signs)[:, None] * right
    more = max(0, k - len(right))
    return np.pad(left[:, :k], ((0, 0), (0, more))), np.pad(right[:k], ((0, more), (0, 0)))


def improve(values: Matrix, code: Matrix, concepts: Matrix, generator: np.random.Generator) -> None:
    """Set every concept to what its codes ask for, in place; one that no code uses becomes a sample with noise."""
    gram, known = code.T @ code, code.T @ values
    for k in range(len(concepts)):
        if gram[k, k] > UNUSED:
            concepts[k] += (known[k] - gram[k] @ concepts) / gram[k, k]
        else:
            drawn = values[generator.integers(len(values))]
            # As much noise as the dictionary learning of scikit-learn gives an unused atom.
            concepts[k] = drawn + generator.normal(0, 0.01 * (drawn.std() or 1), len(drawn))
            code[:, k] = 0
        concepts[k] /= max(np.linalg.norm(concepts[k]), 1.0)


def learn(values: np.ndarray, k: int, *, seed: int, alpha: float, max_iter: int) -> tuple[Matrix, Matrix, list[float]]:
    """Concepts [K, D], codes of the last step [M, K], and J after every step; float64.

    The codes are those before the concepts moved for the last time, as in the released code.
    """
    values = values.astype(np.float64)
    generator = np.random.default_rng(seed)
    code, concepts = start(values, k)
    costs: list[float] = []
    for _ in range(max_iter):
        code = codes(values, concepts, alpha, code)
        improve(values, code, concepts, generator)
        costs.append(cost(values, code, concepts, alpha))
        if len(costs) > 1 and costs[-2] - costs[-1] < TOLERANCE * costs[-1]:
            break
    return concepts, code, costs
