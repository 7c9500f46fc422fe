"""Pushes: vectors added to the residual stream while a model writes, for each row of a batch its own."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from vlmscope.capture import taps
from vlmscope.edits import hook
from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Push:
    """A vector added to the residual stream behind a decoder block: x -> x + strength vector (xl_vlms.md 2.10).

    layer       decoder block
    vector      float [d]
    positions   of the prompt: all; last_prompt, the one that writes the first token; from, those from number `start` on
                (padding not counted); generated, none. What is written is pushed in any case
    """

    layer: int
    vector: Any
    strength: float = 1.0
    positions: Literal["all", "generated", "last_prompt", "from"] = "all"
    start: int = 0

    def begin(self, mask: torch.Tensor) -> int:
        """The first column that is pushed, for a prompt with this attention mask [token]."""
        places = mask.nonzero()
        first, last = int(places[0]), int(places[-1])
        begins = {"all": first, "last_prompt": last, "from": min(first + self.start, last + 1)}
        return begins.get(self.positions, last + 1)


@contextlib.contextmanager
def pushed(loaded: Loaded, rows: Sequence[Sequence[Push]], mask: torch.Tensor) -> Iterator[None]:
    """Row k of the batch goes through the pushes rows[k]; a single entry holds for all rows.

    mask   attention mask of the prompts that run inside, [row, token], padded as they will be
    A call over at least as many positions as the prompts have holds the prompts first; what comes behind them, and
    every shorter call (a decoding step), was written. As in `edits.silenced`, captures see the result.
    """
    every, site = list(rows) * (len(mask) if len(rows) == 1 else 1), loaded.family.site("resid_post")
    if len(every) != len(mask):
        raise VlmscopeError(f"{len(every)} rows of pushes for {len(mask)} prompts.", where="pushes.pushed")
    handles, host = [], mask.cpu()
    try:
        for layer in sorted({one.layer for row in every for one in row}):
            found = [[one for one in row if one.layer == layer] for row in every]
            cut = _sums(found, host, site.width(loaded.config))
            handles.append(hook(taps.module_at(loaded.model, site.path, layer), site.side, cut))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _sums(rows: Sequence[Sequence[Push]], mask: torch.Tensor, width: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Adds to each row what its pushes at one layer come to, from the column on where each begins."""
    most = max(map(len, rows))
    vectors, begins = torch.zeros(most, len(rows), width), torch.zeros(most, len(rows), dtype=torch.long)
    for row, pushes in enumerate(rows):
        for place, one in enumerate(pushes):
            vector = torch.as_tensor(one.vector, dtype=torch.float32)
            if vector.shape != (width,) or not vector.isfinite().all():
                raise VlmscopeError(
                    f"A vector of shape {tuple(vector.shape)}, or with numbers that are none, cannot be added to a "
                    f"residual stream of width {width}.",
                    where="pushes.pushed",
                    instead="a vector made from states of the same model",
                )
            vectors[place, row], begins[place, row] = one.strength * vector, one.begin(mask[row])

    def add(value: torch.Tensor) -> torch.Tensor:
        length = value.shape[1]
        columns = torch.arange(length, device=value.device)
        for vector, begin in zip(vectors.to(value), begins.to(value.device), strict=True):
            if length < mask.shape[1]:
                value = value + vector[:, None]
            else:
                value = torch.where((columns >= begin[:, None])[..., None], value + vector[:, None], value)
        return value

    return add
