"""Pictures that show what a latent stands for, and what is left of them where it is silent (multimodal_sae.md 2.5)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

# How much of a silent region is taken away, of 255; what counts as silent.
SILENT = 224
THRESHOLD = 1e-5
# Pictures beyond those that are wanted, as released: duplicates among them are left out.
SPARE = 50
# Cells of a fingerprint per side, and by how much a cell has to be brighter than its neighbour to count.
SIDE, BRIGHTER = 16, 3


class Example(NamedTuple):
    """A picture of a latent, by its number in the cache, and the latent's mean over the first view."""

    image: int
    mean: float


def choose(
    image: np.ndarray, mean: np.ndarray, most: int, same: Sequence[object] | None = None, count: int | None = None
) -> list[Example]:
    """The pictures with the highest mean, best first; equal ones in the order of their numbers.

    image, mean   pictures in which the latent fires
    same          of every picture of the cache, something that is equal for pictures that are the same
    count         number of pictures of the cache: as released, silent ones are shown when too few fire, and only the
                  first `most` + 50 are looked at; without it silent ones never are [differs: 8 B6]
    """
    if count is not None:
        whole = np.zeros(count)
        whole[image] = mean
        image, mean = np.arange(count), whole
    order = np.lexsort((image, -mean))[: most + SPARE if count is not None else None]
    found: dict[object, Example] = {}
    for place in order:
        number = int(image[place])
        found.setdefault(same[number] if same is not None else number, Example(number, float(mean[place])))
        if len(found) == most:
            break
    return list(found.values())


def fingerprint(picture: Image.Image) -> str:
    """Equal for pictures that look the same at any size: which of 17 x 16 grey cells are brighter than their left."""
    grey = np.asarray(picture.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1] + BRIGHTER).tobytes().hex()


def mask(values: np.ndarray, size: int) -> Image.Image:
    """What is taken away of a picture, 0 where the latent fires: a grid [side, side] enlarged in 8 bit, as released.

    Edges are interpolated, so an active region reaches up to half a patch further than it is.
    """
    silent = np.where(values < THRESHOLD, SILENT, 0).astype(np.uint8)
    return Image.fromarray(silent).resize((size, size), Image.Resampling.BILINEAR)


def active(values: np.ndarray, size: int, dilated: bool = True) -> np.ndarray:
    """Pixels of the active region, bool [size, size]; `dilated` as released, else the patches themselves."""
    if dilated:
        return np.asarray(mask(values, size)) < SILENT
    grid = Image.fromarray((values >= THRESHOLD).astype(np.uint8))
    return np.asarray(grid.resize((size, size), Image.Resampling.NEAREST)) > 0


def masked(picture: Image.Image, values: np.ndarray, size: int) -> Image.Image:
    """A picture squashed to a square of which only the active region keeps its brightness."""
    squashed = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return Image.composite(Image.new("RGB", (size, size)), squashed, mask(values, size))


class Window(NamedTuple):
    """A piece of a text: its number in the cache, its first position, and the latent's values in it [length]."""

    text: int
    start: int
    values: np.ndarray


def windows(
    text: np.ndarray, position: np.ndarray, value: np.ndarray, length: int, most: int, size: int
) -> list[Window]:
    """The pieces of texts in which a latent is highest anywhere, best first; equal ones in their order.

    text, position, value   the latent's entries
    length                  of a piece; texts are cut from their beginning
    size                    of a text: what is left behind the last whole piece is not looked at
    """
    kept = position < size // length * length
    pieces, place = np.unique(np.stack([text, position // length], 1)[kept], axis=0, return_inverse=True)
    values = np.zeros((len(pieces), length), np.float32)
    values[place, position[kept] % length] = value[kept]
    order = np.argsort(-values.max(1, initial=0), kind="stable")[:most]
    return [Window(int(pieces[k, 0]), int(pieces[k, 1]) * length, values[k]) for k in order]
