"""Capture: run samples through a model once and keep what the takes ask for."""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import attention, places, taps
from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Site
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """What one take kept: arrays by name, see `taps.Counter`, `taps.Keeper`, `attention.Attended`."""

    take: Take
    arrays: dict[str, Any]


@torch.inference_mode()
def capture(loaded: Loaded, takes: Sequence[Take], batches: Iterable[Batch]) -> list[Kept]:
    """One plain forward pass per batch, every take read from it (house rule: within 1.10 of the bare forward).

    Padding must stand on the right; it is never counted nor kept. A take of attention probabilities makes the decoder
    compute attention step by step in these passes, whatever the model was loaded with. No gradients are followed: the
    released code keeps the graph of every picture in its sums, without bound [differs: mmneuron.md 8 #3].
    """
    sites = [loaded.family.site(take.site) for take in takes]
    sinks = [_sink(loaded, take, site) for take, site in zip(takes, sites, strict=True)]
    mode = contextlib.nullcontext
    if any(site.stream == "attention" for site in sites):
        log.info("The decoder computes eager attention in this run: fused kernels give no probabilities.")
        mode = partial(attention.eager, loaded)
    for batch in batches:
        columns = _begin(loaded, takes, sites, sinks, batch)
        # Hooks only around this pass: batches are made as they are asked for, and making one may run the model.
        with mode(), contextlib.ExitStack() as hooks:
            for take, site, sink in zip(takes, sites, sinks, strict=True):
                hooks.enter_context(taps.reading(loaded, site, take.layers, sink.see))
            forward(loaded, batch, 1 if columns is None else columns)
        for sink in sinks:
            if not isinstance(sink, taps.Counter):
                sink.end(batch.rows, batch.inputs)
    return [Kept(take, sink.result()) for take, sink in zip(takes, sinks, strict=True)]


def _sink(loaded: Loaded, take: Take, site: Site) -> Any:
    width = site.width(loaded.config)
    if site.stream == "attention":
        return attention.Attended(take, width)
    return (taps.Counter if take.keep == "counts" else taps.Keeper)(take, width, loaded.device)


def _begin(
    loaded: Loaded, takes: Sequence[Take], sites: Sequence[Site], sinks: Sequence[Any], batch: Batch
) -> Tensor | None:
    """Tell every sink its positions; gives those at which logits are wanted, None where no take reads them."""
    _check_padding(batch)
    masks = [_mask(loaded, take, site, batch) for take, site in zip(takes, sites, strict=True)]
    at_head = [site.path == loaded.family.head for site in sites]
    columns = _columns([mask for mask, head in zip(masks, at_head, strict=True) if head])
    for sink, mask, head in zip(sinks, masks, at_head, strict=True):
        if head:
            sink.begin(mask, columns)
        else:
            sink.begin(mask)
    return columns


def _check_padding(batch: Batch) -> None:
    """Padding in front of a token would be counted as a position, and states be wrong without a sign of it."""
    attended = batch.inputs.get("attention_mask")
    if attended is not None and (attended.int().diff(dim=1) > 0).any():
        raise VlmscopeError(
            "Padding stands in front of tokens in a batch that is to be captured.",
            where="capture.run",
            instead='inputs.encode(..., side="right")',
        )


def _mask(loaded: Loaded, take: Take, site: Site, batch: Batch) -> Tensor | None:
    """Positions of a take, None for every position of every tile."""
    if site.stream in ("text", "attention"):
        return places.chosen(loaded, take, batch)
    return batch.inputs[site.real].bool() if site.real else None


def _columns(masks: Sequence[Tensor]) -> Tensor | None:
    """Positions that one of the masks has in one of its samples, on the host; the last one where they have none.

    The head is the widest layer: it is computed only where a take looks.
    """
    if not masks:
        return None
    wanted = torch.stack(list(masks)).flatten(0, 1).any(0).cpu()
    return wanted.nonzero().squeeze(1) if wanted.any() else torch.tensor([len(wanted) - 1])


def forward(loaded: Loaded, batch: Batch, logits_to_keep: int | Tensor = 1) -> Any:
    """The bare prefill: no cache, logits of the last position only, or of those listed."""
    return loaded.model(**batch.inputs, use_cache=False, logits_to_keep=logits_to_keep)
