"""Semi-nonnegative matrix factorization (Ding, Li and Jordan 2010): codes are never negative, concepts have any sign.

Notation: Z [M, D] vectors, V [M, K] codes, U [K, D] concepts; (A)+ and (A)- the positive and negative parts of A.
    least |Z - V U|^2,   V >= 0
    U = (V'V)^-1 V'Z
    V = V * sqrt(((Z U')+ + V (U U')-) / ((Z U')- + V (U U')+))
The released code has no such method, though the paper names it [differs: xl_vlms.md 2.5]. Concepts are scaled to length
one at the end, and the codes with them.
"""

import numpy as np
from numpy.typing import NDArray

from vlmscope.xl_vlms.dictionaries import snmf

Matrix = NDArray[np.float64]

# What the codes are more than the clusters' 0 and 1 at the start: a code of 0 would stay there.
ABOVE = 0.2
# Where the loss falls by less than this share of itself it stops.
TOLERANCE = 1e-5
# Keeps divisors above zero; lengths and products of states are many powers of ten larger.
TINY = 1e-12


def learn(values: np.ndarray, labels: np.ndarray, k: int, *, max_iter: int) -> tuple[Matrix, Matrix, list[float]]:
    """Concepts [K, D] of length one, codes [M, K], and |Z - V U|^2 after every step; float64.

    labels   int [M]   clusters to begin with
    """
    values = values.astype(np.float64)
    whole = np.vdot(values, values)
    code = np.eye(k)[labels] + ABOVE
    losses: list[float] = []
    for _ in range(max_iter):
        concepts = solve(values, code)
        # All that both the update and the loss take of the samples: the residual itself is never made.
        known, gram = values @ concepts.T, concepts @ concepts.T
        code = multiply(code, known, gram)
        losses.append(float(whole - 2 * np.vdot(code, known) + np.vdot(code.T @ code, gram)))
        if len(losses) > 1 and losses[-2] - losses[-1] < TOLERANCE * losses[-1]:
            break
    concepts = solve(values, code)
    lengths = np.linalg.norm(concepts, axis=1)
    scale = np.where(lengths > TINY, lengths, 1.0)
    return concepts / scale[:, None], code * scale, losses


def solve(values: Matrix, code: Matrix) -> Matrix:
    """The concepts that are best for given codes."""
    return np.linalg.pinv(code.T @ code, hermitian=True) @ (code.T @ values)


def multiply(code: Matrix, known: Matrix, gram: Matrix) -> Matrix:
    """Codes after one update; their loss is not higher.

    known   Z U' [M, K]
    gram    U U' [K, K]
    """
    up = np.maximum(known, 0) + code @ np.maximum(-gram, 0)
    down = np.maximum(-known, 0) + code @ np.maximum(gram, 0)
    return code * np.sqrt(up / np.maximum(down, TINY))


def codes(values: np.ndarray, concepts: np.ndarray) -> Matrix:
    """The best codes for given concepts, exact: least squares without negative codes."""
    return snmf.codes(values.astype(np.float64), concepts.astype(np.float64), 0.0)
