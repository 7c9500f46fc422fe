"""Concepts as words and as pictures (xl_vlms.md 2.7, 2.8).

Words are those of the tokens that a concept raises most through the unembedding; pictures are those
of the samples that activate it most.
"""

from collections.abc import Callable, Sequence

import numpy as np

Accept = Callable[[str], bool]


def words(
    concepts: np.ndarray,
    unembedding: np.ndarray,
    pieces: Sequence[str],
    accept: Accept,
    *,
    tokens: int = 50,
    keep: int = 10,
) -> list[list[str]]:
    """Words of every concept, best first, without case; repeats stay.

    concepts     float [K, D]
    unembedding  float [V, D]
    pieces       [V]   every token decoded alone, empty for special ones
    accept       whether a piece is a word
    tokens, keep best tokens that are looked at, and words of them that stay
    """
    found = []
    for row in top_tokens(concepts, unembedding[: len(pieces)], tokens):
        told = [pieces[token].strip().lower() for token in row if accept(pieces[token])]
        found.append(told[:keep])
    return found


def top_tokens(concepts: np.ndarray, unembedding: np.ndarray, count: int) -> np.ndarray:
    """Tokens that every concept raises most, int64 [K, count], best first; of equals the lower number first."""
    logits = concepts.astype(np.float32) @ unembedding.astype(np.float32).T
    return np.argsort(-logits, axis=1, kind="stable")[:, :count]


def images(activations: np.ndarray, count: int) -> np.ndarray:
    """Samples that activate every concept most, int64 [K, count], most first; of equals the first sample first.

    activations   float [M, K]; signed as released, or their sizes
    """
    return np.argsort(-activations, axis=0, kind="stable")[:count].T
