"""What the best neurons of every noun do at the image tokens (mm_neurons.md 2.3, 2.7), from one pass per picture.

What stands behind the picture cannot change it: later tokens are not looked at. So the prompt alone is read. Only the
listed units are taken from each layer, where it lies; what is held is one batch of [neuron, image token].
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vlmscope.capture import batches, shard, taps
from vlmscope.capture.run import forward
from vlmscope.datasets import base
from vlmscope.edits import shuffled
from vlmscope.mm_neurons.image import grids, patches
from vlmscope.mm_neurons.image.grids import Seen, Units
from vlmscope.mm_neurons.image.patches import Layout
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Neurons
from vlmscope.models.inputs import Batch, rounds
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress

log = logging.getLogger(__name__)

# What counts as activation, and the site where it is.
SITES = {"act_fn": "mlp_gate", "down_proj_input": "mlp_hidden"}
METHOD = "contribution"
# Beside them random neurons, as a control.
CONTROL = "random"
# Activation -> sample -> noun -> its neurons.
Wanted = Mapping[str, Mapping[str, Mapping[str, Neurons]]]


@dataclass(frozen=True)
class Found:
    """What a pass over a batch gave.

    layouts   of each row
    carries   float32 [sample, query, patch], see `patches`; None where image tokens are patches
    units     activations of every noun, in the order of the batch
    """

    layouts: list[Layout]
    carries: np.ndarray | None
    units: list[Units]


class Picked:
    """Units of one activation, picked from each layer as it is computed.

    rows      which row of the batch each noun belongs to
    neurons   of each noun
    places    token positions of every row's image tokens
    """

    def __init__(self, rows: Sequence[int], neurons: Sequence[Neurons], places: Sequence[Tensor]) -> None:
        self.counts, self.lengths = [len(one.layer) for one in neurons], [len(places[row]) for row in rows]
        self.places = pad_sequence(list(places), batch_first=True)
        self.rows = torch.from_numpy(np.repeat(np.array(rows, np.int64), self.counts))
        parts = [[getattr(one, name).astype(np.int64) for one in neurons] for name in ("layer", "unit")]
        self.layers, self.units = (torch.from_numpy(np.concatenate(part)) for part in parts)
        self.found: dict[int, Tensor] = {}

    def see(self, layer: int, value: Tensor) -> None:
        """Pick from [sample, token, unit] on the device, in one step."""
        mine = (self.layers == layer).nonzero().squeeze(1)
        index = self.rows[mine, None], self.places[self.rows[mine]], self.units[mine, None]
        self.found[layer] = value[tuple(one.to(value.device) for one in index)]

    def result(self) -> list[np.ndarray]:
        """Values float32 [unit, image token] of each noun, in the order of its neurons."""
        found = torch.zeros(len(self.layers), self.places.shape[1])
        for layer, values in self.found.items():
            found[self.layers == layer] = values.float().cpu()
        parts = zip(found.split(self.counts), self.lengths, strict=True)
        return [values[:, :length].numpy() for values, length in parts]


@torch.inference_mode()
def gather(
    loaded: Loaded, batch: Batch, names: Sequence[str], wanted: Wanted, orders: Sequence[Sequence[int]] = ()
) -> Found:
    """Activations of every noun's neurons at the image tokens, from one pass over a batch of prompts.

    names    sample of each row
    orders   orders in which the image tokens of each row are read, if they are shuffled; values come back in the order
             of the picture [differs: mm_neurons.md 8 B12]
    """
    layouts = patches.layouts(loaded, batch.inputs)
    places = patches.places(loaded, batch.inputs, layouts, orders)
    keys = {
        kind: [(row, noun) for row, name in enumerate(names) for noun in of.get(name, ())]
        for kind, of in wanted.items()
    }
    sinks = {
        kind: Picked([row for row, _ in own], [wanted[kind][names[row]][noun] for row, noun in own], places)
        for kind, own in keys.items()
        if own
    }
    with patches.attending(loaded) as carry, ExitStack() as hooks:
        hooks.enter_context(shuffled(loaded, batch.inputs, orders) if orders else nullcontext())
        for kind, sink in sinks.items():
            layers = sorted(set(sink.layers.tolist()))
            hooks.enter_context(taps.reading(loaded, loaded.family.site(SITES[kind]), layers, sink.see))
        forward(loaded, batch)
        carries = carry(batch.inputs)
    units = [
        Units(kind, METHOD, names[row], noun, values)
        for kind, sink in sinks.items()
        for (row, noun), values in zip(keys[kind], sink.result(), strict=True)
    ]
    return Found(layouts, carries, units)


def from_files(
    loaded: Loaded, *, raw: str, samples: str, neurons: str, settings: Mapping[str, Any], batch: int, target: str
) -> None:
    """Read every picture whose caption has a noun, and write what the noun's best neurons do there.

    settings   kind of benchmark, prompt and begin of the captions, activations; units: how many neurons; control: how
               many random ones
    """
    patches.check(loaded.family.name)
    counts = {METHOD: settings["units"], CONTROL: settings["control"]}
    parts = {
        kind: {method: lists.read(neurons, kind, method, count) for method, count in counts.items()}
        for kind in settings["activations"]
    }
    wanted = {
        kind: nested({key: _joined([of[key] for of in own.values()]) for key in own[METHOD]})
        for kind, own in parts.items()
    }
    chosen = [one for one in read(samples) if any(one.sample in of for of in wanted.values())]
    log.info("%d samples with nouns.", len(chosen))
    prompt = shard.prompts(loaded, base.load(settings["kind"]), settings["prompt"], settings["begin"])
    recipe = {"settings": settings, "model": loaded.about["fingerprint"], "neurons": lists.about(neurons)["recipe"]}
    picture = batches.picture_of(read_manifest(raw)["root"])
    stream = progress(batches.prefill(loaded, chosen, prompt, picture, batch), rounds(loaded, chosen, batch), "batches")
    found = (item for one in stream for item in items(loaded, chosen, picture, one, wanted))
    grids.write(target, (part for item in found for part in _parted(item, parts)), recipe)


def items(
    loaded: Loaded,
    samples: Sequence[Sample],
    picture: Callable[[Sample], Image.Image],
    batch: Batch,
    wanted: Wanted,
    orders: Sequence[Sequence[int]] = (),
) -> Iterator[Seen | Units]:
    """What the file of maps holds of a batch: its pictures, then the activations; `orders` as for `gather`."""
    own = [samples[row] for row in batch.rows]
    found = gather(loaded, batch, [one.sample for one in own], wanted, orders)
    pictures = patches.shown(loaded, [picture(one) for one in own])
    for row, (one, layout, shown) in enumerate(zip(own, found.layouts, pictures, strict=True)):
        yield Seen(one.sample, shown, layout.grid, None if found.carries is None else found.carries[row])
    yield from found.units


def _joined(parts: Sequence[Neurons]) -> Neurons:
    """Lists one behind the other."""
    return Neurons(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _parted(
    item: Seen | Units, parts: Mapping[str, Mapping[str, Mapping[lists.Key, Neurons]]]
) -> Iterator[Seen | Units]:
    """Activations of joined lists, each under its method again."""
    if isinstance(item, Seen):
        yield item
        return
    start = 0
    for method, of in parts[item.activation].items():
        end = start + len(of[item.sample, item.noun].layer)
        yield item._replace(method=method, values=item.values[start:end])
        start = end


def nested(found: Mapping[lists.Key, Neurons]) -> dict[str, dict[str, Neurons]]:
    """Sample -> noun -> neurons."""
    nested: dict[str, dict[str, Neurons]] = {}
    for (sample, noun), neurons in found.items():
        nested.setdefault(sample, {})[noun] = neurons
    return nested
