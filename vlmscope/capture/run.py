"""Capture: run samples through a model once and keep what the takes ask for."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vlmscope.capture import taps
from vlmscope.capture.plan import Take
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Kept:
    """What one take kept: arrays by name, see `taps.Counter` and `taps.Keeper`."""

    take: Take
    arrays: dict[str, Any]


@torch.inference_mode()
def capture(loaded: Loaded, takes: Sequence[Take], batches: Iterable[Batch]) -> list[Kept]:
    """One plain forward pass per batch, every take read from it (house rule: within 1.10 of the bare forward).

    Padding must stand on the right; it is never counted nor kept.
    """
    sinks = [_sink(loaded, take) for take in takes]
    for batch in batches:
        _one_batch(loaded, takes, sinks, batch)
    return [Kept(take, sink.result()) for take, sink in zip(takes, sinks, strict=True)]


def _sink(loaded: Loaded, take: Take) -> taps.Counter | taps.Keeper:
    width = loaded.family.site(take.site).width(loaded.config)
    return (taps.Counter if take.keep == "counts" else taps.Keeper)(take, width, loaded.device)


def _one_batch(loaded: Loaded, takes: Sequence[Take], sinks: Sequence[Any], batch: Batch) -> None:
    for take, sink in zip(takes, sinks, strict=True):
        site = loaded.family.site(take.site)
        image_token = loaded.family.image_token(loaded.config)
        if site.stream == "text":
            sink.begin(taps.positions(take.where, batch, image_token))
        else:
            sink.begin(batch.inputs[site.real].bool() if site.real else None)
    # Hooks only around this pass: batches are made as they are asked for, and making one may run the model.
    with contextlib.ExitStack() as hooks:
        for take, sink in zip(takes, sinks, strict=True):
            hooks.enter_context(taps.reading(loaded, loaded.family.site(take.site), take.layers, sink.see))
        forward(loaded, batch)
    for sink in sinks:
        if isinstance(sink, taps.Keeper):
            sink.end(batch.rows, batch.inputs)


def forward(loaded: Loaded, batch: Batch) -> Any:
    """The bare prefill: no cache, logits of the last position only."""
    return loaded.model(**batch.inputs, use_cache=False, logits_to_keep=1)
