"""Attention blocking: queries that may not look at keys, in some decoder blocks, all heads (llava_interp.md 2.7).

Softmax spreads over the keys that are left: a blocked key has no weight at all, its value is not merely set to zero.
Positions are those of the prompt, padding not counted.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded

# Implementations of attention that take a mask of pairs.
MASKED = ("sdpa", "eager")


@dataclass(frozen=True)
class Block:
    """Every one of these queries may look at none of these keys.

    queries, keys   positions of the prompt; keys behind their query are hidden from it anyway
    layers          decoder blocks
    written         what is written behind the prompt may not look at the keys either
    """

    queries: Sequence[int]
    keys: Sequence[int]
    layers: Sequence[int]
    written: bool = False


@contextlib.contextmanager
def blocked(loaded: Loaded, rows: Sequence[Sequence[Block]], mask: Tensor) -> Iterator[None]:
    """Row k of the batch obeys the blocks rows[k]; a single entry holds for all rows.

    mask   attention mask of the prompts that run inside, int [row, token], padded as they will be
    A call may hold the prompts, their ends behind a cache of what stands before, or a step of decoding. The mask that
    the model made stays as it is otherwise, and is made where the model goes without one.
    """
    every = list(rows) * (len(mask) if len(rows) == 1 else 1)
    if len(every) != len(mask):
        raise VlmscopeError(f"{len(every)} rows of blocks for {len(mask)} prompts.", where="blocking.blocked")
    kind, site = _implementation(loaded), loaded.family.site("attn_prob")
    _check(every, mask, site.layers(loaded.config))
    handles = []
    try:
        for layer in sorted({layer for row in every for block in row for layer in block.layers}):
            forbid = _forbidden([[one for one in row if layer in one.layers] for row in every], mask)
            module = taps.module_at(loaded.model, site.path, layer)
            handles.append(module.register_forward_pre_hook(_hook(forbid, layer, kind), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _implementation(loaded: Loaded) -> str:
    kind = loaded.config.get_text_config()._attn_implementation
    if kind not in MASKED:
        raise VlmscopeError(
            f"Attention of the kind '{kind}' takes no mask of pairs.",
            where="models.*.attention",
            instead="attention: sdpa or eager",
        )
    return kind


def _check(rows: Sequence[Sequence[Block]], mask: Tensor, layers: int) -> None:
    """Refuse blocks that name what is not there, and those that would leave a query nothing to look at."""
    for row, real in zip(rows, mask.sum(1).tolist(), strict=True):
        for block in row:
            places, known = [*block.queries, *block.keys], range(real)
            beyond = [one for one in places if one not in known]
            beyond += [one for one in block.layers if one not in range(layers)]
            if beyond:
                raise VlmscopeError(
                    f"A block names {beyond[0]}, but the prompt has {real} positions and the decoder {layers} blocks.",
                    where="blocking.blocked",
                    instead="positions and layers counted from 0",
                )
            # Only the first position is visible to every query.
            if 0 in block.keys and (0 in block.queries or _alone(block)):
                raise VlmscopeError(
                    "A query would have no key left to look at.", where="blocking.blocked", instead="fewer keys"
                )


def _alone(block: Block) -> bool:
    hidden = set(block.keys)
    return any(hidden.issuperset(range(query + 1)) for query in block.queries)


@dataclass(frozen=True)
class _Forbidden:
    """Blocks of one layer.

    queries   bool [row, block, column]
    keys      bool [row, block, column]
    written   bool [row, block]
    """

    queries: Tensor
    keys: Tensor
    written: Tensor

    def pairs(self, first: int, queries: int, keys: int, device: torch.device) -> Tensor | None:
        """Forbidden pairs of the columns from `first` on with all keys, bool [row, 1, query, key]; None for none."""
        columns = self.queries.shape[2]
        if first >= columns and not self.written.any():
            return None
        asked = self.queries[:, :, first : first + queries]
        more = queries - asked.shape[2]
        asked = torch.cat([asked, self.written[:, :, None].expand(-1, -1, more)], 2)
        looked = self.keys[:, :, :keys]
        looked = torch.nn.functional.pad(looked, (0, keys - looked.shape[2]))
        found = torch.einsum("rbq,rbk->rqk", asked.to(device, torch.float32), looked.to(device, torch.float32)) > 0
        return found[:, None]


def _forbidden(rows: Sequence[Sequence[Block]], mask: Tensor) -> _Forbidden:
    """Blocks of every row as columns, padding counted."""
    most, host = max(map(len, rows)), mask.bool().cpu()
    shape = len(rows), most, mask.shape[1]
    queries, keys = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    written = torch.zeros(shape[:2], dtype=torch.bool)
    for row, blocks in enumerate(rows):
        columns = host[row].nonzero().squeeze(1)
        for place, block in enumerate(blocks):
            queries[row, place, columns[list(block.queries)]] = True
            keys[row, place, columns[list(block.keys)]] = True
            written[row, place] = block.written
    return _Forbidden(queries, keys, written)


def _hook(forbid: _Forbidden, layer: int, kind: str) -> Callable[..., Any]:
    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states = args[0] if args else kwargs["hidden_states"]
        given, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        queries = states.shape[1]
        first = cache.get_seq_length(layer) if cache is not None else 0
        pairs = forbid.pairs(first, queries, first + queries if given is None else given.shape[-1], states.device)
        if pairs is None:
            return None
        return args, {**kwargs, "attention_mask": _masked(given, pairs, first, states.dtype, kind)}

    return before


def _masked(given: Tensor | None, pairs: Tensor, first: int, dtype: torch.dtype, kind: str) -> Tensor:
    """The mask without the forbidden pairs: truth values, or numbers that are added, as the implementation has them."""
    if given is not None and given.is_floating_point():
        return given.masked_fill(pairs, torch.finfo(given.dtype).min)
    if given is None:
        queries, keys = pairs.shape[-2:]
        # As the model would do it by itself: nobody looks at what comes later.
        given = torch.ones(queries, keys, dtype=torch.bool, device=pairs.device).tril(first)
    allowed = given & ~pairs
    if kind == "sdpa":
        return allowed
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)
