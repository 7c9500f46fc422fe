"""Where a model looks at a picture: which position of a stream shows which part of it.

A model cuts a picture into views, a view into patches. LLaVA-NeXT has two views: the whole picture squeezed into one
square, and the picture enlarged, padded to a canvas of tiles and cut (mmneuron.md 4.1). InstructBLIP has the first
alone; its queries stand for no place. LLaVA 1.5 sees the largest square in the middle of the picture.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.models import parts

Size = tuple[int, int]


@dataclass(frozen=True)
class View:
    """Patches of a picture in rows and columns.

    index   int64 [row, column]   position in the stream of one sample
    box     left, top, right, bottom of the patches in shares of the picture's width and height; beyond 0 and 1 where
            patches show padding; None where positions stand for no place
    """

    index: np.ndarray
    box: tuple[float, float, float, float] | None


WHOLE = (0.0, 0.0, 1.0, 1.0)


def views(family: str, config: Any, stream: str, size: Size) -> list[View]:
    """Views of a picture in a stream; none where its positions are words.

    stream   vision, projector, text (positions of the picture's tokens, counted from 0), query
    size     width and height of the picture
    """
    if family in ("llava_next", "llava_next_llama3"):
        return _tiled(config, stream, size)
    if family == "instructblip":
        return _single(config, stream)
    if family in ("llava", "llava_phi"):
        return [View((stream == "vision") + _square(config), _middle(size))]
    raise VlmscopeError(
        f"It is not known how the family '{family}' cuts pictures.",
        where="mmneuron.examples",
        instead="a model of one of: llava, llava_phi, llava_next, llava_next_llama3, instructblip",
    )


def _single(config: Any, stream: str) -> list[View]:
    if stream == "vision":
        return [View(1 + _square(config), WHOLE)]
    # Queries, and the language model's picture tokens, which are queries too.
    queries = stream in ("query", "text")
    return [View(np.arange(config.num_query_tokens)[None], None)] if queries else []


def _middle(size: Size) -> tuple[float, float, float, float]:
    """The square that is left when the longer side is cut to the length of the shorter one."""
    across, down = ((1 - min(size) / one) / 2 for one in size)
    return across, down, 1 - across, 1 - down


def _square(config: Any) -> np.ndarray:
    side = math.isqrt(parts.patches(config))
    return np.arange(side * side).reshape(side, side)


def _tiled(config: Any, stream: str, size: Size) -> list[View]:
    """The squeezed picture and the canvas of tiles."""
    square, grid = _square(config), canvas(config, size)
    before, length = (1, square.size + 1) if stream == "vision" else (0, square.size)
    if stream == "text":
        return [View(square, WHOLE), _unpadded(square, grid, size)]
    side = len(square)
    row, column = np.indices((grid.rows, grid.columns))
    tile = 1 + (row // side) * (grid.columns // side) + column // side
    within = square[row % side, column % side]
    return [View(before + square, WHOLE), View(before + tile * length + within, grid.box)]


@dataclass(frozen=True)
class Canvas:
    """The padded picture that is cut into tiles: its patches, and where it lies (see `View.box`)."""

    rows: int
    columns: int
    box: tuple[float, float, float, float]


def canvas(config: Any, size: Size) -> Canvas:
    """The canvas that LLaVA-NeXT chooses for a picture of (width, height)."""
    from transformers.image_processing_utils import select_best_resolution

    width, height = size
    high, wide = select_best_resolution((height, width), config.image_grid_pinpoints)
    # The picture fills the canvas in one direction and is centred in the other; an odd pixel goes behind it.
    if wide / width < high / height:
        inner = wide, min(math.ceil(height * wide / width), high)
    else:
        inner = min(math.ceil(width * high / height), wide), high
    left, top = ((outer - own) // 2 for outer, own in zip((wide, high), inner, strict=True))
    box = (-left / inner[0], -top / inner[1], (wide - left) / inner[0], (high - top) / inner[1])
    patch = config.vision_config.patch_size
    return Canvas(high // patch, wide // patch, box)


def _unpadded(square: np.ndarray, grid: Canvas, size: Size) -> View:
    """The canvas as the language model gets it: rows or columns of padding cut off, a mark behind each row."""
    width, height = size
    rows = columns = 0
    # Seven places, as the library rounds before it cuts: one row more or less would shift all that follow.
    if width / height > grid.columns / grid.rows:
        rows = (grid.rows - int(round(height * grid.columns / width, 7))) // 2
    else:
        columns = (grid.columns - int(round(width * grid.rows / height, 7))) // 2
    high, wide = grid.rows - 2 * rows, grid.columns - 2 * columns
    row, column = np.indices((high, wide))
    left, top, right, bottom = grid.box
    across, down = (right - left) * columns / grid.columns, (bottom - top) * rows / grid.rows
    box = (left + across, top + down, right - across, bottom - down)
    return View(square.size + row * (wide + 1) + column, box)
