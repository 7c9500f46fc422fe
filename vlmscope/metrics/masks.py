"""Masks of COCO annotations: polygons and run lengths to pixels (llava_interp.md 2.3, 5).

Filling a polygon follows the rule of the COCO tools: its boundary is walked on a grid five times as fine, and a pixel
is inside where the boundary has been crossed an odd number of times above it. Axis order: [row, column].
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError

# Steps of the fine grid per pixel.
FINE = 5
SOURCE = "the instances file of COCO"


def mask(segmentation: Any, width: int, height: int) -> np.ndarray:
    """Pixels of an annotation, bool [height, width]: a list of flat polygons, or run lengths."""
    if isinstance(segmentation, Mapping):
        return of_runs(segmentation)
    found = np.zeros((height, width), dtype=bool)
    for polygon in segmentation:
        found |= of_polygon(polygon, width, height)
    return found


def of_polygon(polygon: Sequence[float], width: int, height: int) -> np.ndarray:
    """Pixels of one polygon [x1, y1, x2, y2, ...] in pixels, bool [height, width]."""
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
        raise VlmscopeError("This is no polygon.", where=SOURCE, instead="x and y of three corners or more, flat")
    u, v = _boundary(np.trunc(FINE * corners.reshape(-1, 2) + 0.5).astype(np.int64))
    steps = np.flatnonzero(np.diff(u)) + 1
    column = (np.minimum(u[steps], u[steps - 1]) + 0.5) / FINE - 0.5
    row = (np.minimum(v[steps], v[steps - 1]) + 0.5) / FINE - 0.5
    inside = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    row = np.ceil(np.clip(row[inside], 0, height)).astype(np.int64)
    crossings = np.bincount(column[inside].astype(np.int64) * height + row, minlength=width * height + 1)
    # Down the columns, one behind the other: every crossing turns inside to outside.
    return (crossings[:-1].cumsum() % 2).astype(bool).reshape(width, height).T


def _boundary(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the closed boundary on the fine grid, int64 [point] each."""
    parts = [_edge(*start, *end) for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    u, v = (np.concatenate(one) for one in zip(*parts, strict=True))
    return u, v


def _edge(x0: int, y0: int, x1: int, y1: int) -> tuple[np.ndarray, np.ndarray]:
    """Points from one corner to the next, walked along the longer side from its smaller end."""
    wide = abs(x1 - x0) >= abs(y1 - y0)
    (a0, b0), (a1, b1) = ((x0, y0), (x1, y1)) if wide else ((y0, x0), (y1, x1))
    turned = a0 > a1
    if turned:
        a0, b0, a1, b1 = a1, b1, a0, b0
    steps = np.arange(a1 - a0 + 1)
    slope = (b1 - b0) / (a1 - a0) if a1 > a0 else 0.0
    along, across = a0 + steps, np.trunc(b0 + slope * steps + 0.5).astype(np.int64)
    if turned:
        along, across = along[::-1], across[::-1]
    return (along, across) if wide else (across, along)


def of_runs(runs: Mapping[str, Any]) -> np.ndarray:
    """Pixels of run lengths down the columns, background first, bool [height, width]; counts as numbers or packed."""
    try:
        height, width = (int(one) for one in runs["size"])
        packed = runs["counts"]
        counts = np.asarray(unpacked(packed) if isinstance(packed, str | bytes) else packed, dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise VlmscopeError(f"These are no run lengths: {error}", where=SOURCE, instead="size and counts") from None
    if (counts < 0).any() or counts.sum() != height * width:
        raise VlmscopeError(
            f"Run lengths add up to {counts.sum()}, a picture of {width} x {height} has {width * height} pixels.",
            where=SOURCE,
            instead="fetch the file again",
        )
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def unpacked(text: str | bytes) -> list[int]:
    """Counts of a packed text: five bits to a character and one for more; from the fourth on, less the last but one."""
    codes = (text.encode() if isinstance(text, str) else text).__iter__()
    counts: list[int] = []
    for code in codes:
        value, shift = 0, 0
        # Characters begin at "0"; of the six bits the highest says that more follow, the next one carries the sign.
        part = code - 48
        while part & 32:
            value |= (part & 31) << shift
            shift += 5
            part = next(codes, 48) - 48
        value |= (part & 31) << shift
        if part & 16:
            value -= 1 << (shift + 5)
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts
