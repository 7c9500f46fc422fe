"""What the drawn world hands out: one picture with everything that is true of it."""

from dataclasses import dataclass

import numpy as np

SIZE = 64
DOMAINS = ("ad", "med", "rs", "com", "doc")


@dataclass(frozen=True)
class Thing:
    """One drawn object; its pixels carry its 1-based place in `Scene.things` in the mask."""

    name: str
    color: str | None = None
    position: str | None = None


@dataclass(frozen=True)
class Question:
    """A question about a scene and its one true answer.

    kind     exist, what, color, count, where, reason or read
    choices  the four options of a medical question, shuffled, the answer among them; else empty
    """

    text: str
    answer: str
    kind: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A drawn picture.

    image    uint8 [64, 64, 3]
    mask     uint8 [64, 64]    0 background, k the k-th of `things`
    """

    domain: str
    seed: int
    image: np.ndarray
    mask: np.ndarray
    things: tuple[Thing, ...]
    questions: tuple[Question, ...]
    caption: str
