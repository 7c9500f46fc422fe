"""What the vocabulary says of every position and layer (llava_interp.md 2.8).

Layer 0 is what enters the decoder, layer l the output of block l. Only the k best tokens of a position leave the
device, and the share of one class; states and logits are never kept. Notation: L blocks, S positions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vlmscope import lens, sweep
from vlmscope.capture import taps
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Reading:
    """One prompt through the lens.

    tokens   int32   [L + 1, S, k]   best first
    probs    float32 [L + 1, S, k]
    share    float32 [L + 1, S]      of the class: its likeliest first token
    rank     int32   [L + 1, S]      tokens that are likelier
    """

    tokens: np.ndarray
    probs: np.ndarray
    share: np.ndarray
    rank: np.ndarray


class _Layers:
    """Reads every layer as soon as it is there."""

    def __init__(self, loaded: Loaded, right: Sequence[int], k: int, twice: bool) -> None:
        self.loaded, self.right, self.k, self.twice = loaded, list(right), k, twice
        self.last = loaded.family.site("resid_post").layers(loaded.config) - 1
        self.parts: list[tuple[Tensor, ...]] = []

    def enter(self, layer: int, value: Tensor) -> None:
        """What enters block 0, [1, S, d]."""
        self._read(value[0], False)

    def leave(self, layer: int, value: Tensor) -> None:
        """What a block gives, [1, S, d]; blocks come in their order."""
        self._read(value[0], self.twice and layer == self.last)

    def _read(self, states: Tensor, again: bool) -> None:
        if again:
            norm = taps.module_at(self.loaded.model, self.loaded.family.norm)
            states = norm(states)
        width = taps.module_at(self.loaded.model, self.loaded.family.head).weight.shape[0]
        rows = max(1, lens.MOST_VALUES // width)
        found = [self._part(part) for part in states.split(rows)]
        self.parts.append(tuple(torch.cat(each).cpu() for each in zip(*found, strict=True)))

    def _part(self, states: Tensor) -> tuple[Tensor, ...]:
        shares = lens.logits(self.loaded, states).float().softmax(-1)
        best = shares.topk(min(self.k, shares.shape[-1]), dim=-1)
        own = shares[:, self.right].amax(-1) if self.right else shares.new_zeros(len(shares))
        return best.indices.int(), best.values, own, (shares > own[:, None]).sum(-1).int()

    def result(self) -> Reading:
        """All layers on the host."""
        return Reading(*(torch.stack(each).numpy() for each in zip(*self.parts, strict=True)))


@torch.inference_mode()
def read(loaded: Loaded, asked: Asked, right: Sequence[int], *, k: int, twice: bool = False) -> Reading:
    """Every layer and position of one prompt, in one pass.

    right   first tokens of the class, whose share is kept beside the best k; none for nothing of the kind
    twice   the last layer's states go through the final norm once more, as released [differs: llava_interp.md 8 #12]
    """
    layers, flags = _Layers(loaded, right, k, twice), sweep.flags(loaded, asked.ids[None])
    blocks = range(layers.last + 1)
    first = taps.reading(loaded, loaded.family.site("embeds"), [0], layers.enter)
    with first, taps.reading(loaded, loaded.family.site("resid_post"), blocks, layers.leave):
        sweep.decoder(loaded)(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1, **flags)
    return layers.result()
