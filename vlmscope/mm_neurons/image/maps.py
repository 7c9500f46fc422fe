"""Heat maps: what neurons do at the image's patches, enlarged to the picture (mm_neurons.md 2.7).

Notation: A grid of patches [row, column], R and C two small matrices with map = R A C^T.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

Interpolation = Literal["official", "centre"]
# How strongly the colours cover the picture, of 255.
COVER = 127


def weights(size: int, cells: int, interpolation: Interpolation) -> np.ndarray:
    """What each pixel of a line takes of each cell: float64 [pixel, cell]; every line adds up to one.

    official   anchored at the corners of the cells, so the map lies half a cell too far to the upper left; in the last
               cell the line between the last two cells goes on beyond both
    centre     between the centres of the cells, held where there is no further one
    """
    if cells == 1:
        return np.ones((size, 1))
    if interpolation == "official":
        place = np.arange(size) * cells / size
    else:
        place = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    first = np.minimum(place.astype(int), cells - 2)
    share = place - first
    found = np.zeros((size, cells))
    found[np.arange(size), first] = 1 - share
    found[np.arange(size), first + 1] = share
    return found


def enlarge(grids: np.ndarray, size: tuple[int, int], interpolation: Interpolation = "official") -> np.ndarray:
    """Grids at the size of a picture.

    grids     [..., row, column]
    size      height and width of the picture
    returns   float64 [..., height, width]
    """
    rows, columns = (weights(*pair, interpolation) for pair in zip(size, grids.shape[-2:], strict=True))
    return rows @ grids.astype(np.float64) @ columns.T


def means(values: np.ndarray, sizes: Sequence[int], singles: int) -> dict[str, np.ndarray]:
    """Means over the best neurons, and the best ones each by itself.

    values    [unit, ...], best unit first
    sizes     how many of the best; where there are fewer, all of them, as released
    returns   float32 [...] by name: `average_10`, and `single_1` for the best, `single_2`, ...
    """
    totals = np.cumsum(values, axis=0, dtype=np.float64)
    counts = {f"average_{size}": min(size, len(values)) for size in sizes}
    found = {name: totals[count - 1] / count for name, count in counts.items()}
    found |= {f"single_{rank + 1}": values[rank] for rank in range(min(singles, len(values)))}
    return {name: one.astype(np.float32) for name, one in found.items()}


def grey(shown: np.ndarray) -> np.ndarray:
    """A map from its least to its largest value as uint8 0 to 255, cut and not rounded; zeros where it is constant.

    The released code divides by zero there [differs: mm_neurons.md 2.7].
    """
    shown = np.asarray(shown, dtype=np.float32)
    least, span = shown.min(), shown.max() - shown.min()
    if not span > 0:
        return np.zeros(shown.shape, np.uint8)
    return ((shown - least) / span * np.float32(255)).astype(np.uint8)


@functools.cache
def jet() -> np.ndarray:
    """OpenCV's colours from dark blue over green to dark red: uint8 [grey, red green blue].

    Straight lines of slope four; Matplotlib's map of that name has others. Line 159 is rounded apart from its
    neighbours in OpenCV's list.
    """
    place = np.arange(256)
    red = np.where(place < 224, 4 * (place - 96) + 2, 252 - 4 * (place - 224))
    green = np.where(place < 128, 4 * (place - 32), 252 - 4 * (place - 160))
    blue = np.where(place < 32, 128 + 4 * place, 254 - 4 * (place - 96))
    colors = np.clip(np.stack([red, green, blue], axis=1), 0, 255).astype(np.uint8)
    colors[159, 2] = 1
    colors.setflags(write=False)
    return colors


def heat(picture: Image.Image, shown: np.ndarray) -> Image.Image:
    """A picture under the colours of a map of its size."""
    colors = Image.fromarray(jet()[grey(shown)])
    return Image.composite(colors, picture.convert("RGB"), Image.new("L", picture.size, COVER))
