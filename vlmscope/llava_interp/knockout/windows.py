"""Which attention is blocked: from which keys to which queries, in which layers (llava_interp.md 2.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# First layer and the one behind the last, of 32; layer 10 is in none of early, mid and late.
PUBLISHED = {
    "early": (0, 10),
    "early_mid": (5, 15),
    "mid": (11, 21),
    "mid_late": (15, 25),
    "late": (21, 32),
    "all": (0, 32),
}
DEPTH = 32


@dataclass(frozen=True)
class Window:
    """Layers first .. last, both in it.

    sort   window: one of the published six; layer: a single one; sliding: one of a row of equal length
    """

    name: str
    sort: Literal["window", "layer", "sliding"]
    first: int
    last: int

    @property
    def layers(self) -> range:
        """The layers."""
        return range(self.first, self.last + 1)


def windows(depth: int) -> list[Window]:
    """The published six, bounds scaled to a decoder of so many layers; none is empty."""
    found = []
    for name, bounds in PUBLISHED.items():
        first, end = (round(bound * depth / DEPTH) for bound in bounds)
        first = min(first, depth - 1)
        found.append(Window(name, "window", first, max(end, first + 1) - 1))
    return found


def singles(depth: int) -> list[Window]:
    """Every layer by itself."""
    return [Window(f"layer_{layer}", "layer", layer, layer) for layer in range(depth)]


def sliding(depth: int, widths: Sequence[int]) -> list[Window]:
    """All windows of these lengths, from the first layer to the last; lengths beyond the depth are left out."""
    return [
        Window(f"{first}_{first + width - 1}", "sliding", first, first + width - 1)
        for width in widths
        if width <= depth
        for first in range(depth - width + 1)
    ]


# ---- groups --------------------------------------------------------------------------------------------------------

# Ours -> the name in the released code; its windows are written behind it. The last one is misnamed there.
RELEASED = {
    ("object", "last"): "PATCH_TO_LAST_TOK",
    ("object_1", "last"): "PATCH_PLUS_ONE_TO_LAST_TOK",
    ("object_2", "last"): "PATCH_PLUS_TWO_TO_LAST_TOK",
    ("all_but_object_1", "last"): "ALL_MINUS_PATCH",
    ("object_1", "last_row"): "PATCH_PLUS_ONE_TO_LAST_ROW",
    ("all_but_last_row", "last_row"): "PATCH_TO_LAST_ROW",
}
# Ours: as many other visual tokens, and single ways that an object can take: `beside` are the visual tokens that are no
# keys. What is left open by `beside_and_question` is the direct way, by `beside_and_last` that through the question, by
# `question_and_last` that through other visual tokens.
CONTROLS = (("random", "last"), ("random_1", "last"), ("random_2", "last"), ("random_1", "last_row"))
PATHS = (
    ("object_1", "question"),
    ("object_1", "question_and_last"),
    ("random_1", "question"),
    ("random_1", "question_and_last"),
    ("object_1", "beside"),
    ("random_1", "beside"),
    ("object_1", "beside_and_question"),
    ("random_1", "beside_and_question"),
    ("object_1", "beside_and_last"),
    ("random_1", "beside_and_last"),
    ("question", "last"),
)
GROUPS = (*RELEASED, *CONTROLS, *PATHS)
# What stands beside an object's keys: as many random ones.
BESIDE = {"object": "random", "object_1": "random_1", "object_2": "random_2"}


@dataclass(frozen=True)
class Intervention:
    """One blocked group in one window; source and target as in `GROUPS`."""

    source: str
    target: str
    window: Window
