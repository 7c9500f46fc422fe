"""Steering by latents: states of one layer are rebuilt with a latent held at a value (multimodal_sae.md 2.8)."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from vlmscope import edits, replay
from vlmscope.capture import taps
from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.coder import sparse
from vlmscope.multimodal_sae.coder.sae import SparseCoder

Mode = Literal["none", "replace", "keep_error", "add"]
Positions = Literal["all", "prefill", "image", "text", "last"]


@dataclass(frozen=True)
class Clamp:
    """What happens to the states x of one row.

    latent     that is held; -1 for none
    value      which it gets before the selection
    more       further latents that get the same value
    mode       replace: x becomes the reconstruction with the latent held, at written tokens the plain reconstruction,
               as released; keep_error: x plus the difference of both reconstructions; add: x + value W_dec[latent];
               none: x stays
    positions  where it is held: those of the prompt (prefill, as released), its picture, its text, its last one; all,
               also those that are written
    """

    latent: int = -1
    value: float = 50.0
    mode: Mode = "replace"
    positions: Positions = "prefill"
    more: tuple[int, ...] = ()

    @property
    def latents(self) -> tuple[int, ...]:
        """All that are held."""
        return (self.latent, *self.more) if self.latent >= 0 else self.more


PLAIN = Clamp(mode="none")


def places(loaded: Loaded, inputs: Mapping[str, Tensor], clamps: Sequence[Clamp]) -> Tensor:
    """Where the prompts of a batch, padded on the left, are held: bool [row, token]."""
    ids, real = inputs["input_ids"], inputs["attention_mask"].bool()
    image = real & (ids == loaded.family.image_token(loaded.config))
    last = torch.zeros_like(real)
    last[:, -1] = True
    kinds = {"all": real, "prefill": real, "image": image, "text": real & ~image, "last": last}
    return torch.stack([kinds[one.positions][row] & bool(one.latents) for row, one in enumerate(clamps)])


@torch.inference_mode()
def changed(coder: SparseCoder, x: Tensor, latent: Tensor, value: Tensor, mode: Mode) -> Tensor:
    """States with some latents each held where they are named.

    x       [T, d]
    latent  [T] or [T, m]; -1 where none is held
    value   [T]
    """
    own, latent = x.float(), latent.reshape(len(x), -1)
    if mode == "add":
        there = (latent >= 0)[..., None]
        return own + value[:, None] * (coder.W_dec[latent.clamp(min=0)] * there).sum(1)
    parts = (one.split(max(1, sparse.DENSE // coder.config.latents)) for one in (own, latent, value))
    found = []
    for some, which, how in zip(*parts, strict=True):
        pre = coder.pre(some)
        plain = coder.decode(*coder.select(pre), some) if mode == "keep_error" else None
        rows, slots = (which >= 0).nonzero(as_tuple=True)
        pre[rows, which[rows, slots]] = how[rows]
        out = coder.decode(*coder.select(pre), some)
        found.append(out if plain is None else some + torch.where((which >= 0).any(1)[:, None], out - plain, 0))
    return torch.cat(found)


@contextlib.contextmanager
def clamped(
    loaded: Loaded, coder: SparseCoder, take: Take, clamps: Sequence[Clamp], inputs: Mapping[str, Tensor]
) -> Iterator[None]:
    """Row k of the batch goes through clamps[k].

    inputs   of the prompts that run inside, padded on the left
    A call over fewer positions than the prompts have is about tokens that were written.
    """
    if len(clamps) != len(inputs["input_ids"]):
        raise VlmscopeError(f"{len(clamps)} clamps for {len(inputs['input_ids'])} prompts.", where="steer.clamped")
    if wrong := [latent for one in clamps for latent in one.latents if latent >= coder.config.latents]:
        raise VlmscopeError(
            f"There is no latent {wrong[0]}.", where="steer.clamped", instead=f"0 to {coder.config.latents - 1}"
        )
    held, device = places(loaded, inputs, clamps), coder.b_dec.device
    most = max([1, *(len(one.latents) for one in clamps)])
    latents = torch.tensor([[*one.latents, *[-1] * (most - len(one.latents))] for one in clamps], device=device)
    values = torch.tensor([one.value for one in clamps], device=device)
    always = torch.tensor([one.positions == "all" for one in clamps], device=device)

    def cut(value: Tensor) -> Tensor:
        written = value.shape[1] < held.shape[1]
        mask = always[:, None].expand(value.shape[:2]) if written else held.to(device)
        out = value.clone()
        for mode in sorted({one.mode for one in clamps} - {"none"}):
            rows = torch.tensor([row for row, one in enumerate(clamps) if one.mode == mode], device=device)
            x = value[rows.to(value.device)].to(device)
            latent = torch.where(mask[rows][..., None], latents[rows, None], -1).flatten(0, 1)
            how = values[rows, None].expand(x.shape[:2]).flatten()
            new = changed(coder, x.flatten(0, 1), latent, how, mode)
            out[rows.to(value.device)] = new.view_as(x).to(out)
        return out

    site = loaded.family.site(take.site)
    handle = edits.hook(taps.module_at(loaded.model, site.path, take.layers[0]), site.side, cut)
    try:
        yield
    finally:
        handle.remove()


def written(
    loaded: Loaded,
    coder: SparseCoder,
    take: Take,
    tensors: Mapping[str, Any],
    clamps: Sequence[Clamp],
    max_new_tokens: int,
    rows: int,
) -> Iterator[tuple[int, int, list[int]]]:
    """(clamp, sample, tokens) of a batch of prompts, padded on the left; every prompt goes through every clamp.

    rows   most rows of a pass. Blocks below the layer read the prompt once
    """
    block = take.layers[0] if take.site == "resid_post" else take.layers[0] - 1
    known = replay.prefix(loaded, tensors, [max(block, 0)])
    pairs = [(number, sample) for number in range(len(clamps)) for sample in range(len(known.inputs["input_ids"]))]
    for start in range(0, len(pairs), rows):
        part = pairs[start : start + rows]
        some = [sample for _, sample in part]
        whole = {key: one[some] for key, one in tensors.items()} if block < 0 else known.rows(some)
        recalled = contextlib.nullcontext() if block < 0 else replay.replayed(loaded, known, block, some)
        own = [clamps[number] for number, _ in part]
        with recalled, clamped(loaded, coder, take, own, whole):
            tokens = answer.new_tokens(loaded, whole, max_new_tokens)
        yield from ((*pair, one) for pair, one in zip(part, tokens, strict=True))
