"""What an explainer is shown: the pictures that excite a latent most, darkened where it is silent (2.5).

Pictures fall into two halves, equal-looking ones into the same: names are made from one, and measured on the other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.cache.files import Cache

REFERENCE, HELD_OUT = "reference", "held_out"
SIDES = (REFERENCE, HELD_OUT)


@dataclass(frozen=True)
class Shown:
    """Pictures of one latent, best first.

    images    numbers in the cache
    maps      float32 [rows, columns] each   the latent's values
    picture   number -> picture
    size      pixels of a side, as masks are made
    """

    latent: int
    images: tuple[int, ...]
    maps: Sequence[np.ndarray]
    picture: Callable[[int], Image.Image]
    size: int

    @cached_property
    def masked(self) -> list[Image.Image]:
        """The pictures, darkened where the latent is silent."""
        pairs = zip(self.images, self.maps, strict=True)
        return [examples.masked(self.picture(image), values, self.size) for image, values in pairs]

    def regions(self, dilated: bool) -> list[np.ndarray]:
        """Active regions, bool [size, size] each."""
        return [examples.active(values, self.size, dilated) for values in self.maps]


class Chooser:
    """Chooses pictures of an open cache.

    most   pictures per latent and half
    half   int [picture]   0 for names, 1 for measures
    """

    def __init__(self, cache: Cache, picture: Callable[[int], Image.Image], *, most: int, size: int) -> None:
        self.cache, self.picture, self.most, self.size = cache, picture, most, size
        self.half = halves(cache.looks)
        self.has_regions = has_regions(cache)

    def latents(self, count: int) -> list[int]:
        """Latents with `most` pictures in both halves, in the order of their numbers; the first `count`, 0 for all."""
        found = []
        for latent in range(self.cache.latents):
            image = self.cache.pooled(latent)["image"]
            if all(
                len({self.cache.looks[one] for one in image[self.half[image] == side]}) >= self.most for side in (0, 1)
            ):
                found.append(latent)
            if count and len(found) == count:
                break
        return found

    def shown(self, latent: int, side: str) -> Shown:
        """The latent's best pictures of a half."""
        rows = self.cache.pooled(latent)
        kept = self.half[rows["image"]] == SIDES.index(side)
        best = examples.choose(rows["image"][kept], rows["mean"][kept], self.most, self.cache.looks)
        return self.of(latent, [one.image for one in best])

    def of(self, latent: int, images: Sequence[int]) -> Shown:
        """The latent on given pictures, whether it fires there or not."""
        maps = [self._map(latent, image) for image in images]
        return Shown(latent, tuple(images), maps, self.picture, self.size)

    def _map(self, latent: int, image: int) -> np.ndarray:
        """Values of the patches; without any, one for the whole picture."""
        values = self.cache.map(latent, image)
        if not self.has_regions:
            return values.max(initial=0, keepdims=True)[None]
        return values.reshape(self.cache.grids[image] if self.cache.grids is not None else (grid(self.cache),) * 2)


def halves(looks: Sequence[str]) -> np.ndarray:
    """0 and 1 in turn, in the order in which looks come first: int64 [picture]."""
    order = {look: place for place, look in enumerate(dict.fromkeys(looks))}
    return np.array([order[look] % 2 for look in looks], np.int64)


def has_regions(cache: Cache) -> bool:
    """Whether positions are patches in rows and columns; queries are not."""
    return cache.grids is not None or bool(cache.about["base"])


def grid(cache: Cache) -> int:
    """Patches of a side of the first view."""
    side = math.isqrt(cache.about["base"])
    if not side or side * side != cache.about["base"]:
        raise VlmscopeError(
            "The pictures of this cache have no square first view, so latents have no masks.",
            where=str(cache.about.get("model", "")),
            instead="a model of the LLaVA kind",
        )
    return side
