"""Active latents of the patches of first views, in memory: what an open cache tells of pictures, of any autoencoder.

Notation: P pictures, B patches of a first view, k active latents per patch, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vlmscope.multimodal_sae.cache.files import Entries


@dataclass(frozen=True)
class Active:
    """Active latents of all patches of some pictures, read like an open cache.

    looks     equal for pictures that look the same
    latents   F
    base      B
    idx       int64 [P B, k]
    val       float32 [P B, k]   0 where fewer are active
    """

    looks: Sequence[str]
    latents: int
    base: int
    idx: np.ndarray
    val: np.ndarray

    @cached_property
    def highest(self) -> np.ndarray:
        """Highest value of every latent, float32 [F]."""
        found = np.zeros(self.latents, np.float32)
        np.maximum.at(found, self.idx.ravel(), self.val.ravel())
        return found

    def entries(self, first: int, last: int) -> Entries:
        """Entries of pictures from `first` up to, not with, `last`."""
        part = slice(first * self.base, last * self.base)
        row, place = np.nonzero(self.val[part])
        picture, position = np.divmod(row, self.base)
        where = np.stack([picture + first, position, self.idx[part][row, place]], 1)
        return Entries(where.astype(np.int64), self.val[part][row, place])

    @cached_property
    def matrix(self) -> Any:
        """The same as a sparse matrix float32 [P B, F]."""
        from scipy import sparse

        row, place = np.nonzero(self.val)
        where = (row, self.idx[row, place])
        return sparse.csr_array((self.val[row, place], where), shape=(len(self.idx), self.latents))

    @cached_property
    def fired(self) -> np.ndarray:
        """Patches in which each latent fires, int64 [F]."""
        return np.bincount(self.idx[self.val > 0], minlength=self.latents)
