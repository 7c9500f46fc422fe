"""Which patches an object covers, and pictures whose patches are overwritten (llava_interp.md 2.3, 2.4).

Patches of the one square view are numbered row by row, from 0. Notation: W, H size of the picture, c its shorter side,
g patches along a side of the view, p pixels along a side of a patch.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from vlmscope.metrics import masks

Mode = Literal["aligned", "official"]
# As released (llava_interp.md 2.4).
GREY = 128


@dataclass(frozen=True)
class View:
    """What a model sees of every picture: a square of so many pixels, so many patches along its side."""

    side: int
    grid: int


def patches(annotation: Mapping[str, Any], size: tuple[int, int], view: View, mode: Mode) -> list[int] | None:
    """Patches that an object touches, sorted; None where nothing of it is in the view.

    annotation   `segmentation` and `bbox` as COCO has them
    size         (W, H)
    mode         aligned: by what the image processor does [differs: llava_interp.md 8 #4, #5]; official: as released
    """
    return (official if mode == "official" else aligned)(annotation, size, view) or None


def visible(segmentation: Any, size: tuple[int, int]) -> float:
    """Share of an object's pixels that lies in the central square of a picture (W, H); 0 where it has no pixel."""
    whole, side = masks.mask(segmentation, *size), min(size)
    return float(_square(whole, *_offsets(size, side), side).sum() / max(1, whole.sum()))


# ---- as released --------------------------------------------------------------------------------------------------


def official(annotation: Mapping[str, Any], size: tuple[int, int], view: View) -> list[int] | None:
    """Corners outside of the central square are dropped, and a patch has c // g pixels; see `patches`."""
    if isinstance(annotation["segmentation"], Mapping):
        # Run lengths have no corners: those of the drawn world are cut [differs: llava_interp.md 8 #6].
        square = _square(masks.mask(annotation["segmentation"], *size), *_offsets(size, min(size)), min(size))
        return _touched(square, min(size) // view.grid, view) or None
    polygons = corrected(annotation, size)
    if polygons is None:
        return None
    side = min(size)
    # A union of masks, cut into blocks: the same as the overlap of every patch with every polygon (2.3).
    return _touched(masks.mask(polygons, side, side), side // view.grid, view)


def corrected(annotation: Mapping[str, Any], size: tuple[int, int]) -> list[list[float]] | None:
    """Polygons in the central square, corners outside of it dropped; None where the box or every polygon is lost."""
    side = min(size)
    left, top = _offsets(size, side)
    x, y, width, height = annotation["bbox"]
    x, y = max(0, x - left), max(0, y - top)
    if min(width, side - x) <= 0 or min(height, side - y) <= 0:
        return None
    kept = []
    for polygon in annotation["segmentation"]:
        corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2) - (left, top)
        corners = corners[((corners >= 0) & (corners < side)).all(axis=1)]
        if len(corners) >= 3:
            kept.append(corners.ravel().tolist())
    return kept or None


def _offsets(size: tuple[int, int], side: int) -> tuple[int, int]:
    return (size[0] - side) // 2, (size[1] - side) // 2


def _square(found: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    return found[top : top + side, left : left + side]


def _touched(found: np.ndarray, patch: int, view: View) -> list[int]:
    """Patches with a pixel of a mask, bool [row, column]; what is left over at the right and below is not looked at."""
    if patch < 1:
        # Fewer pixels than patches: those of the released code have no pixel and so touch nothing.
        return []
    cut = found[: patch * view.grid, : patch * view.grid].reshape(view.grid, patch, view.grid, patch)
    return np.flatnonzero(cut.any(axis=(1, 3))).tolist()


# ---- as the image processor sees it ---------------------------------------------------------------------------------


def resized(size: tuple[int, int], view: View) -> tuple[int, int]:
    """(W, H) of a picture once its shorter side has the length of the view."""
    width, height = size
    short = min(size)
    # The longer side is cut to a whole number, as the processor does it.
    return (
        view.side if width == short else int(view.side * width / short),
        view.side if height == short else int(view.side * height / short),
    )


def aligned(annotation: Mapping[str, Any], size: tuple[int, int], view: View) -> list[int]:
    """The object goes the way of the pixels: scaled, then cut to the central square; see `patches`."""
    target, shape = resized(size, view), annotation["segmentation"]
    if isinstance(shape, Mapping):
        found = _scaled(masks.mask(shape, *size), target)
    else:
        ratio = np.asarray(target) / np.asarray(size)
        scaled = [(np.asarray(one, dtype=np.float64).reshape(-1, 2) * ratio).ravel() for one in shape]
        found = masks.mask(scaled, *target)
    return _touched(_square(found, *_offsets(target, view.side), view.side), view.side // view.grid, view)


def _scaled(found: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """A mask at another size, bool [row, column]: no part of it is lost where it becomes smaller."""
    (height, width), (wide, high) = found.shape, target
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((high, height), (wide, width)))
    scaled = found[np.ix_(rows, columns)]
    y, x = np.nonzero(found)
    scaled[((y + 0.5) * high / height).astype(int), ((x + 0.5) * wide / width).astype(int)] = True
    return scaled


def grown(found: Collection[int], buffer: int, grid: int) -> list[int]:
    """Patches and their neighbours, diagonal ones too, `buffer` times over; sorted."""
    there = np.zeros((grid, grid), dtype=bool)
    there.flat[list(found)] = True
    for _ in range(buffer):
        wide = np.pad(there, 1)
        there = np.any([wide[1 + y :][:grid, 1 + x :][:, :grid] for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)
    return np.flatnonzero(there).tolist()


# ---- pictures -------------------------------------------------------------------------------------------------------


def viewed(picture: Image.Image, view: View, mode: Mode) -> Image.Image:
    """The square that is overwritten: what the processor makes of the picture, or the uncut centre as released.

    In the latter patches of noise do not cover those of the model [differs: llava_interp.md 8 #21].
    """
    size = picture.size
    target = resized(size, view) if mode == "aligned" else size
    side = min(target)
    if mode == "aligned" and target != size:
        picture = picture.resize(target, Image.Resampling.BICUBIC)
    left, top = _offsets(target, side)
    return picture.crop((left, top, left + side, top + side))


def overwritten(pixels: np.ndarray, found: Sequence[int], grid: int, tile: np.ndarray | int) -> np.ndarray:
    """A square picture, uint8 [side, side] or [side, side, 3], with the same tile on each of these patches."""
    side, changed = pixels.shape[0] // grid, pixels.copy()
    for number in found:
        row, column = divmod(number, grid)
        changed[row * side : (row + 1) * side, column * side : (column + 1) * side] = tile
    return changed


def noise(pixels: np.ndarray, grid: int, values: np.random.RandomState) -> np.ndarray:
    """A tile of noise of the size of a patch, uint8 [p, p] or [p, p, 3]."""
    side = pixels.shape[0] // grid
    return (values.rand(side, side, *pixels.shape[2:]) * 255).astype(np.uint8)
