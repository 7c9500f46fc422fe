"""Streams of states at one site: from the shards of a capture, or from the model without storing any.

Both are endless and go through everything in a new order each time; with several processes each takes its share. A
position counts blocks since the beginning.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import batches, places, plan, run, shard, taps
from vlmscope.capture.plan import Take
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.samples import read as read_samples
from vlmscope.store import rows

log = logging.getLogger(__name__)
# Rows that are read from a shard at a time.
BLOCK = 1024


def _order(count: int, seed: int, position: int, share: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Endless (position behind it, number of a block): every block once per round, every process its share of them."""
    place, world = share
    while True:
        turn, start = divmod(position, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + turn)).tolist()
        for position, number in enumerate(order[start:], turn * count + start + 1):
            if position % world == place:
                yield position, number


class Stored:
    """States of a take, of all shards behind some indices.

    share   number of this process, how many there are
    """

    def __init__(self, indices: Sequence[str], take: str, seed: int, share: tuple[int, int] = (0, 1)) -> None:
        self.seed, self.share, self.files = seed, share, contextlib.ExitStack()
        opened = [self.files.enter_context(rows.groups(index, take)) for index in indices]
        self.groups = [group["values"] for one in opened for group in one]
        self.parts = [(k, start) for k, one in enumerate(self.groups) for start in range(0, len(one), BLOCK)]
        self.count = sum(len(one) for one in self.groups)
        log.info("%d states in %d shards", self.count, len(self.groups))
        if len(self.parts) < share[1]:
            raise VlmscopeError(f"{self.count} states are too few for {share[1]} processes.", where=str(indices[0]))

    def read(self, number: int) -> Tensor:
        """A block of at most `BLOCK` states, float32 [n, d]."""
        group, start = self.parts[number]
        return torch.from_numpy(self.groups[group][start : start + BLOCK, 0]).float()

    def close(self) -> None:
        """Close the shards."""
        self.files.close()

    def blocks(self, position: int) -> Iterator[tuple[int, Tensor]]:
        """Blocks from a position on."""
        for after, number in _order(len(self.parts), self.seed, position, self.share):
            yield after, self.read(number)


class Streamed:
    """States of a take, read while the model runs; it stops behind the layer that is read.

    prompts   samples with their text and the reader of their picture
    """

    def __init__(
        self,
        loaded: Loaded,
        take: Take,
        samples: Sequence[Sample],
        prompts: Sequence[str],
        pictures: Sequence[Callable[[Sample], Any]],
        batch: int,
        seed: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.loaded, self.take, self.seed, self.share = loaded, take, seed, share
        self.samples, self.prompts, self.pictures = samples, prompts, pictures
        self.parts = list(inputs.batches(loaded, list(prompts), samples, batch))
        if len(self.parts) < share[1]:
            raise VlmscopeError(f"{len(samples)} samples are too few for {share[1]} processes.", where="multimodal_sae")

    def read(self, number: int) -> Tensor:
        """States of one batch of samples, [n, d]."""
        chosen = self.parts[number]
        shown = [self.pictures[row](self.samples[row]) for row in chosen if self.samples[row].images]
        tensors = inputs.encode(self.loaded, [self.prompts[row] for row in chosen], shown, side="right")
        return states(self.loaded, self.take, inputs.Batch(chosen, tensors))

    def close(self) -> None:
        """Nothing is open."""

    def blocks(self, position: int) -> Iterator[tuple[int, Tensor]]:
        """Blocks from a position on."""
        for after, number in _order(len(self.parts), self.seed, position, self.share):
            yield after, self.read(number)


class Held:
    """A stream that is read through once and then lies in memory."""

    def __init__(self, source: Streamed) -> None:
        self.seed, self.share = source.seed, source.share
        self.parts = [source.read(number) for number in range(len(source.parts))]

    def close(self) -> None:
        """Nothing is open."""

    def blocks(self, position: int) -> Iterator[tuple[int, Tensor]]:
        """Blocks from a position on."""
        for after, number in _order(len(self.parts), self.seed, position, self.share):
            yield after, self.parts[number]


class _EnoughError(Exception):
    """The layer that is wanted has been computed."""


@torch.inference_mode()
def states(loaded: Loaded, take: Take, batch: inputs.Batch) -> Tensor:
    """States of a batch at the positions of a take [n, d], those of several layers side by side.

    No layer behind the last one is computed.
    """
    found: list[Tensor] = []
    mask = places.chosen(loaded, take, batch)

    def see(layer: int, value: Tensor) -> None:
        found.append(value[mask.to(value.device)])
        if len(found) == len(take.layers):
            raise _EnoughError

    site = loaded.family.site(take.site)
    with taps.reading(loaded, site, take.layers, see), contextlib.suppress(_EnoughError):
        run.forward(loaded, batch)
    # Layers of a model that is spread over GPUs come from several devices.
    return found[0] if len(found) == 1 else torch.cat([one.to(found[-1].device) for one in found], 1)


def take_of(loaded: Loaded, site: str) -> Take:
    """The take behind an autoencoder: values of one layer at all positions."""
    return plan.resolve([{"site": site, "where": "all", "keep": "values"}], loaded.family, loaded.config)[0]


def take_at(loaded: Loaded, sites: Sequence[str]) -> Take:
    """The take behind autoencoders of several layers of one site, which are read in one pass."""
    takes = [take_of(loaded, site) for site in sites]
    layers = sorted({one.layers[0] for one in takes})
    return replace(takes[0], layers=tuple(layers), single=len(layers) == 1)


def streamed(
    loaded: Loaded,
    site: str | Take,
    *,
    raws: Sequence[str],
    tables: Sequence[str],
    kinds: Sequence[str],
    settings: dict[str, Any],
    batch: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> Streamed:
    """The stream of a capture's samples: manifests, sample tables and formats of its datasets.

    site       one of a layer, or the take of several
    settings   the capture's: prompt, begin, samples, vision_positions
    """
    take = take_of(loaded, site) if isinstance(site, str) else site
    samples: list[Sample] = []
    prompts: list[str] = []
    pictures: list[Callable[[Sample], Any]] = []
    for raw, table, kind in zip(raws, tables, kinds, strict=True):
        every = read_samples(Path(table))
        chosen = batches.within_budget(every, loaded, settings["samples"], settings["vision_positions"])
        ask = shard.prompts(loaded, base.load(kind), settings["prompt"], settings["begin"])
        samples += chosen
        prompts += [ask(one) for one in chosen]
        pictures += [batches.picture_of(read_manifest(raw)["root"])] * len(chosen)
    return Streamed(loaded, take, samples, prompts, pictures, batch, seed, share)
