"""Causal tracing of visual tokens: what a model that lost them gets back with a single one.

The visual tokens of a prompt are replaced by the mean token; then the state of one patch at one layer is put back to
what it was in the untouched prompt, and the answer's probability is read. Layer 0 is what enters the decoder, layer l
the output of block l; behind the last block a patch no longer reaches the answer, so that layer is left out. Everything
in front of the first restored patch is as in the corrupted prompt: its keys and values are computed once.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlmscope import sweep
from vlmscope.capture import taps
from vlmscope.edits import hook
from vlmscope.llava_interp.asking import prompts
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.knockout import passes
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Repair:
    """Visual tokens that get their untouched state back at one layer; tokens are numbered from 0."""

    layer: int
    tokens: tuple[int, ...]


def layers(depth: int, most: int) -> list[int]:
    """At most so many layers, spread from the entrance to the last but one of a decoder of `depth` blocks."""
    return sorted(set(np.linspace(0, depth - 1, min(depth, most)).round().astype(int).tolist()))


@torch.inference_mode()
def restored(
    loaded: Loaded, asked: Asked, lost: Sequence[int], value: Tensor | None, wanted: Sequence[Repair], rows: int
) -> Iterator[tuple[Repair, Tensor]]:
    """Logits behind the corrupted prompt under every repair, float32 [vocabulary]; repairs by their first token.

    lost    visual tokens that are replaced
    value   float [d] that replaces them; None for zeros
    rows    repairs that go through the model together
    """
    states = clean(loaded, asked, sorted({one.layer for one in wanted}))
    corrupted = replace(asked, embeds=prompts.without(asked, lost, value))
    yield from patched(loaded, corrupted, states, wanted, rows)


@torch.inference_mode()
def patched(
    loaded: Loaded, asked: Asked, states: Mapping[int, Tensor], wanted: Sequence[Repair], rows: int
) -> Iterator[tuple[Repair, Tensor]]:
    """Logits behind a prompt with other states at some tokens, float32 [vocabulary]; by their first token.

    states   layer -> what is put there, [S, d]
    """
    cache = passes.read(loaded, asked)
    order = sorted(wanted, key=lambda one: (min(one.tokens), one.layer))
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        yield from zip(part, _repaired(loaded, asked, cache, states, part).float().cpu(), strict=True)


@torch.inference_mode()
def clean(loaded: Loaded, asked: Asked, wanted: Sequence[int]) -> dict[int, Tensor]:
    """Layer -> states of the untouched prompt, [S, d]."""
    found: dict[int, Tensor] = {}
    blocks = [layer - 1 for layer in wanted if layer]
    with taps.reading(loaded, loaded.family.site("resid_post"), blocks, found.setdefault):
        flags = sweep.flags(loaded, asked.ids[None])
        sweep.decoder(loaded)(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1, **flags)
    return {0: asked.embeds} | {layer + 1: state[0] for layer, state in found.items()}


def _repaired(
    loaded: Loaded, corrupted: Asked, cache: Any, states: Mapping[int, Tensor], part: Sequence[Repair]
) -> Tensor:
    """Logits of repairs as rows of a batch, [row, vocabulary]; what stands from their first token on is computed."""
    first = corrupted.first + min(min(one.tokens) for one in part)
    embeds = corrupted.embeds[first:].repeat(len(part), 1, 1)
    with contextlib.ExitStack() as undo:
        for layer in sorted({one.layer for one in part}):
            place = _Places.of(part, layer, corrupted.first, first)
            if layer == 0:
                embeds = place.put(embeds, states[0])
                continue
            site = loaded.family.site("resid_post")
            module = taps.module_at(loaded.model, site.path, layer - 1)
            handle = hook(module, site.side, lambda value, place=place, layer=layer: place.put(value, states[layer]))
            undo.callback(handle.remove)
        return passes.behind(loaded, corrupted, cache, first, embeds)


@dataclass(frozen=True)
class _Places:
    """Rows, columns of the batch, and positions of the prompt whose states are put there."""

    rows: list[int]
    columns: list[int]
    positions: list[int]

    @classmethod
    def of(cls, part: Sequence[Repair], layer: int, picture: int, first: int) -> "_Places":
        """Places of the repairs at one layer; `picture` is where it begins, `first` the batch's first position."""
        pairs = [(row, token + picture) for row, one in enumerate(part) if one.layer == layer for token in one.tokens]
        rows, positions = [row for row, _ in pairs], [place for _, place in pairs]
        return cls(rows, [place - first for place in positions], positions)

    def put(self, value: Tensor, states: Tensor) -> Tensor:
        """A copy of value [row, column, d] with these states [S, d]."""
        changed = value.clone()
        changed[self.rows, self.columns] = states[self.positions].to(changed)
        return changed
