"""Pieces of texts in which a latent is highest, as explainers and judges read them (multimodal_sae.md 2.6).

Texts fall into two halves: names are made from one, and measured on the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.cache.files import Cache

REFERENCE, HELD_OUT = "reference", "held_out"
SIDES = (REFERENCE, HELD_OUT)
# What the highest activation counts as, in lists of tokens.
TEN = 10


@dataclass(frozen=True)
class Piece:
    """A piece of a text.

    tokens   as they read
    values   float32 [token]   the latent's
    """

    tokens: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Read:
    """Pieces of one latent, best first.

    highest   activation that others are measured by: that of the first piece
    share     of it above which a token is marked
    promoted  tokens that the latent writes
    """

    latent: int
    pieces: tuple[Piece, ...]
    highest: float
    share: float
    promoted: tuple[str, ...] = ()

    def marked(self, piece: Piece) -> list[bool]:
        """Which tokens are marked."""
        return (piece.values > self.share * self.highest).tolist()

    def text(self, piece: Piece) -> str:
        """The piece with its marked tokens between `<<` and `>>`, neighbours together, as released."""
        pairs = zip(self.marked(piece), piece.tokens, strict=True)
        runs = [(mark, "".join(token for _, token in run)) for mark, run in groupby(pairs, key=lambda one: one[0])]
        return "".join(f"<<{words}>>" if mark else words for mark, words in runs)

    def listed(self, piece: Piece) -> str:
        """Marked tokens with their activation in tenths of the highest, rounded down, as released."""
        # In the precision of the activations, in this order: 0.9 of the highest counts as 9, as released.
        tenths = np.floor(TEN * piece.values / np.float32(self.highest)).astype(int).tolist()
        pairs = zip(piece.tokens, tenths, self.marked(piece), strict=True)
        return ", ".join(f'("{token}" : {tenth})' for token, tenth, mark in pairs if mark)

    def words(self, piece: Piece) -> list[str]:
        """Marked tokens in small letters, without spaces around them."""
        pairs = zip(piece.tokens, self.marked(piece), strict=True)
        return [token.strip().lower() for token, mark in pairs if mark and token.strip()]


class Pieces:
    """Chooses pieces from an open cache of texts.

    window   tokens of a piece
    most     pieces per latent and half
    share    see `Read`
    """

    def __init__(self, cache: Cache, *, window: int, most: int, share: float) -> None:
        self.cache, self.window, self.most, self.share = cache, window, most, share
        self.tokens = cache.group["tokens"].asstr()[()]
        self.promoted = cache.group["promoted"].asstr()
        found = cache.entries()
        order = np.argsort(found.where[:, 2], kind="stable")
        self.where, self.value = found.where[order], found.value[order]
        self.ends = np.searchsorted(self.where[:, 2], np.arange(cache.latents + 1))

    def latents(self, count: int) -> list[int]:
        """Latents with `most` pieces in both halves, in the order of their numbers; the first `count`, 0 for all."""
        every = (one for one in range(self.cache.latents) if all(self._has(one, side) for side in SIDES))
        return [one for _, one in zip(range(count or self.cache.latents), every, strict=False)]

    def _has(self, latent: int, side: str) -> bool:
        return len(self._best(latent, side)) == self.most

    def read(self, latent: int, side: str) -> Read:
        """The latent's best pieces of a half; the whole cache says what its highest activation is."""
        own = slice(*self.ends[latent : latent + 2])
        pieces = tuple(
            Piece(tuple(self.tokens[one.text, one.start : one.start + self.window]), one.values)
            for one in self._best(latent, side)
        )
        return Read(latent, pieces, float(self.value[own].max()), self.share, tuple(self.promoted[latent]))

    def _best(self, latent: int, side: str) -> Sequence[examples.Window]:
        own = slice(*self.ends[latent : latent + 2])
        where, value = self.where[own], self.value[own]
        kept = where[:, 0] % 2 == SIDES.index(side)
        size = self.tokens.shape[1]
        return examples.windows(where[kept, 0], where[kept, 1], value[kept], self.window, self.most, size)

    def density(self, latent: int) -> float:
        """Share of all tokens at which the latent fires."""
        return float(self.cache.firing[latent]) / self.tokens.size
