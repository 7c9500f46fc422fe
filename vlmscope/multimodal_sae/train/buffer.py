"""Batches of states in mixed order: neighbours in a picture stay apart, memory stays the same however long the stream.

A stream is read by position, so that a later process goes on where an earlier one stopped.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from vlmscope.errors import VlmscopeError


class Stream(Protocol):
    """States without end, the same for the same position."""

    def blocks(self, position: int) -> Iterator[tuple[int, Tensor]]:
        """Blocks [n, d] from a position on, each with the position behind it."""

    def close(self) -> None:
        """Let go of files."""


class Buffer:
    """Holds up to `rows` states, mixes them, and hands out half of them before it reads on.

    held   states still to be handed out, from the end
    """

    def __init__(self, stream: Stream, rows: int, batch: int, seed: int) -> None:
        if batch > rows // 2:
            raise VlmscopeError(
                f"A buffer of {rows} states cannot mix batches of {batch}.",
                where="multimodal_sae.train.buffer",
                instead=f"at least {2 * batch}",
            )
        self.stream, self.rows, self.batch, self.seed = stream, rows, batch, seed
        self.position = self.fills = 0
        self.held: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        """Batches [batch, d], in the precision of the stream."""
        blocks = self.stream.blocks(self.position)
        while True:
            if self.held is None or len(self.held) - self.batch < self.rows // 2:
                self._fill(blocks)
            batch, self.held = self.held[-self.batch :], self.held[: -self.batch]
            yield batch

    def _fill(self, blocks: Iterator[tuple[int, Tensor]]) -> None:
        """Read until it is full, then mix; the order depends on the seed and on how often it was filled."""
        parts = [] if self.held is None else [self.held]
        count = sum(map(len, parts))
        while count < self.rows:
            self.position, block = next(blocks)
            parts.append(block)
            count += len(block)
        joined = torch.cat(parts)
        mixed = torch.Generator().manual_seed(self.seed * 1_000_003 + self.fills)
        self.held = joined[torch.randperm(len(joined), generator=mixed).to(joined.device)]
        self.fills += 1

    def state(self) -> dict[str, Tensor]:
        """What is held and where it came from."""
        numbers = {"buffer.numbers": torch.tensor([self.position, self.fills])}
        return numbers if self.held is None else numbers | {"buffer.held": self.held.contiguous()}

    def restore(self, kept: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken; before the first batch is asked for."""
        self.position, self.fills = kept["buffer.numbers"].tolist()
        self.held = kept.get("buffer.held")
