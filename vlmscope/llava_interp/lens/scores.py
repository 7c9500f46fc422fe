"""How well tokens read at patches name an object, and where it is (llava_interp.md 2.8)."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

# Letters that a beginning of the class must have.
SHORTEST = 3


class Overlap(NamedTuple):
    """How a map of scores meets an object.

    iou        of the patches above a share of the map's maximum with those of the object
    ap         average precision of patches sorted by score
    pointing   whether the highest patch is one of the object's
    """

    iou: float
    ap: float
    pointing: bool


def strict(piece: str, name: str) -> bool:
    """Whether the first piece of a class is its whole first word, so that one token stands for it."""
    return piece.lower() == name.lower().split()[0]


def lenient(text: str, name: str) -> bool:
    """Whether a token's text is a beginning of the class of three letters or more."""
    text = text.strip().lower()
    return len(text) >= SHORTEST and name.lower().startswith(text)


def hits(tokens: np.ndarray, wanted: Collection[int]) -> np.ndarray:
    """Which positions have one of these tokens among theirs, bool; tokens int [..., k] -> [...]."""
    return np.isin(tokens, list(wanted)).any(axis=-1)


def overlap(scores: np.ndarray, inside: np.ndarray, threshold: float) -> Overlap:
    """A map against an object; scores float [patch], inside bool [patch] with at least one that is true.

    Of equal scores the earlier patch stands first.
    """
    order = np.argsort(-scores, kind="stable")
    found = inside[order]
    precision = found.cumsum() / np.arange(1, len(found) + 1)
    above = scores >= threshold * scores.max() if scores.max() > 0 else np.zeros(len(scores), dtype=bool)
    iou = (above & inside).sum() / (above | inside).sum()
    return Overlap(float(iou), float(precision[found].mean()), bool(found[0]))


def beginnings(texts: Mapping[int, str], name: str) -> list[int]:
    """Tokens whose text begins the class, see `lenient`."""
    return [token for token, text in texts.items() if lenient(text, name)]


def quantised(probs: np.ndarray) -> np.ndarray:
    """Probabilities in steps of 1 / 65,535, uint16."""
    return np.round(np.clip(probs, 0, 1) * 65535).astype(np.uint16)


def ids(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """Token ids in as few bytes as the vocabulary allows."""
    return tokens.astype(np.uint16 if vocabulary <= 1 << 16 else np.uint32)
