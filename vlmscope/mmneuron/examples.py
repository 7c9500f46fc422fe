"""Pictures that neurons fire at most strongly, where in them, and what zeroing one neuron alone does.

Only listed neurons are looked at, and of each only the best pictures' maps are kept, so the work is bounded by the
settings and not by the model.
"""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vlmscope.capture import batches, shard, taps
from vlmscope.capture.run import forward
from vlmscope.datasets import base
from vlmscope.mmneuron import generate, masks, modules, perturb
from vlmscope.mmneuron.schemas import EXAMPLES, NEURON, ZEROED
from vlmscope.mmneuron.views import View, views
from vlmscope.models import parts
from vlmscope.models.base import Site
from vlmscope.models.inputs import Batch, rounds
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress
from vlmscope.store import tables

Neuron = tuple[str, int, int]


def chosen(neurons: pl.DataFrame, per: int) -> list[Neuron]:
    """Module, layer and unit of the neurons on the page: per module and domain those of lowest entropy.

    neurons   see `schemas.neurons`
    """
    ranked = neurons.sort("entropy", "layer", "index", maintain_order=True)
    kept = ranked.group_by("module", "domain", maintain_order=True).head(per)
    order = {module: place for place, module in enumerate(neurons["module"].unique(maintain_order=True))}
    found = set(kept.select("module", "layer", "index").rows())
    return sorted(found, key=lambda one: (order[one[0]], *one[1:]))


@dataclass(frozen=True, order=True)
class Peak:
    """One picture as a neuron sees it; ordered by activation.

    highest   largest activation over the positions of the views; over all positions where there is no view, since
              words and class tokens are much the same with every picture
    overall   largest activation over all positions
    order     place of the sample, negative, so that of equals the first counts more
    share     positions with activation > 0 in all positions
    place     what stands at the strongest position: picture, class, or a token's text
    values    activations of the views, one after the other, float32
    shapes    rows, columns and box of each view
    """

    highest: float
    order: int
    overall: float = field(compare=False)
    share: float = field(compare=False)
    place: str = field(compare=False)
    values: np.ndarray = field(compare=False)
    shapes: str = field(compare=False)


class Peaks:
    """The best pictures of some units of one layer."""

    def __init__(self, neurons: Sequence[Neuron], images: int) -> None:
        self.neurons, self.images = neurons, images
        self.found: dict[Neuron, list[Peak]] = {neuron: [] for neuron in neurons}

    def see(self, order: int, values: np.ndarray, seen: Sequence[View], names: Sequence[str]) -> None:
        """One sample's activations, float32 [position, neuron]; `names` says what stands at each position."""
        shown = np.concatenate([view.index.ravel() for view in seen] or [np.arange(len(values))])
        highest = values[shown].max(axis=0)
        for column, neuron in enumerate(self.neurons):
            heap = self.found[neuron]
            if len(heap) == self.images and (heap[0].highest, heap[0].order) > (highest[column], -order):
                continue
            own = values[:, column]
            peak = Peak(
                highest=float(highest[column]),
                order=-order,
                overall=float(own.max()),
                share=float((own > 0).mean()),
                place=names[int(own.argmax())],
                values=own[shown] if seen else own[:0],
                shapes=json.dumps([[*view.index.shape, view.box] for view in seen]),
            )
            (heapq.heappush if len(heap) < self.images else heapq.heapreplace)(heap, peak)


@torch.inference_mode()
def peaks(
    loaded: Loaded, samples: Sequence[Sample], stream: Iterator[Batch], neurons: Sequence[Neuron], images: int
) -> dict[Neuron, list[Peak]]:
    """The pictures of highest activation of each neuron, best first; `order` is minus the sample's place."""
    names = modules.sites(loaded.family.name)
    sinks: dict[tuple[str, int], Peaks] = {}
    for module, layer, _ in neurons:
        own = [one for one in neurons if one[:2] == (module, layer)]
        sinks.setdefault((module, layer), Peaks(own, images))
    for batch in stream:
        part, seen = [samples[row] for row in batch.rows], {}
        with ExitStack() as hooks:
            for key, sink in sinks.items():
                units = [unit for _, _, unit in sink.neurons]
                hooks.enter_context(_reading(loaded, names[key[0]], key, units, seen))
            forward(loaded, batch)
        for key, sink in sinks.items():
            site = loaded.family.site(names[key[0]])
            found = _per_sample(loaded, site, names[key[0]], batch, part, seen[key])
            for row, (values, shown, words) in zip(batch.rows, found, strict=True):
                sink.see(row, values, shown, words)
    return {one: sorted(heap, reverse=True) for sink in sinks.values() for one, heap in sink.found.items()}


def _reading(loaded: Loaded, site: str, key: tuple[str, int], units: list[int], seen: dict[Any, Tensor]) -> Any:
    """Some units of one layer, moved to the host when they are computed."""

    def see(layer: int, value: Tensor) -> None:
        seen[key] = value[..., units].float().cpu()

    return taps.reading(loaded, loaded.family.site(site), [key[1]], see)


def _per_sample(
    loaded: Loaded, site: Site, name: str, batch: Batch, samples: Sequence[Sample], value: Tensor
) -> Iterator[tuple[np.ndarray, list[View], Sequence[str]]]:
    """Per sample: activations [position, unit], views of the picture, and what stands at each position."""
    family, config = loaded.family, loaded.config
    sizes = [(sample.width, sample.height) for sample in samples]
    if site.stream == "text":
        for row, size in enumerate(sizes):
            yield _words(loaded, batch, row, value[row], size)
        return
    if site.real:
        # The text branch of the Q-Former: words of the question, in its own tokenizer's pieces.
        pieces = loaded.processor.inner.qformer_tokenizer.convert_ids_to_tokens
        ids, reals = batch.inputs["qformer_input_ids"].cpu(), batch.inputs[site.real].bool().cpu()
        for one, words, real in zip(value, ids, reals, strict=True):
            yield one[real].numpy(), [], pieces(words[real].tolist())
        return
    stream = "query" if name == "query_gate" else site.stream
    first = 0
    for size in sizes:
        tiles = family.vision_positions(config, loaded.processor, *size) // (parts.patches(config) + 1)
        own = value[first : first + tiles].flatten(0, 1).numpy()
        first += tiles
        places = ["picture" if stream != "query" else "query"] * len(own)
        if stream == "vision":
            places[:: len(own) // tiles] = ["class token"] * tiles
        yield own, views(family.name, config, stream, size), places


def _words(
    loaded: Loaded, batch: Batch, row: int, value: Tensor, size: tuple[int, int]
) -> tuple[np.ndarray, list[View], list[str]]:
    """A text: views count its picture tokens from 0, wherever in the text they stand."""
    real = batch.inputs["attention_mask"][row].bool().cpu()
    ids = batch.inputs["input_ids"][row].cpu()[real]
    picture = (ids == loaded.family.image_token(loaded.config)).numpy()
    shown = views(loaded.family.name, loaded.config, "text", size)
    moved = [View(np.flatnonzero(picture)[view.index], view.box) for view in shown]
    words = loaded.processor.tokenizer.convert_ids_to_tokens(ids.tolist())
    return value[real].numpy(), moved, ["picture" if here else word for here, word in zip(picture, words, strict=True)]


def example_table(found: Mapping[Neuron, Sequence[Peak]], samples: Sequence[Sample]) -> pl.DataFrame:
    """Rows by neuron and rank (see `schemas.EXAMPLES`)."""
    rows = []
    for neuron, heap in found.items():
        for rank, peak in enumerate(heap):
            about = asdict(peak)
            sample = samples[-about.pop("order")]
            row = dict(zip(NEURON, neuron, strict=True)) | {"rank": rank, "sample": sample.sample}
            rows.append(row | about | {"values": peak.values.tolist()})
    return pl.DataFrame(rows, schema=EXAMPLES)


def zeroed_table(
    loaded: Loaded, pairs: Sequence[tuple[Batch, list[Sample]]], neurons: Sequence[Neuron]
) -> pl.DataFrame:
    """What each neuron by itself does to the last block and to the next token (see `schemas.ZEROED`)."""
    site = modules.sites(loaded.family.name)
    sets = {str(place): ("one", {site[module]: {layer: [unit]}}) for place, (module, layer, unit) in enumerate(neurons)}
    rows = pl.concat([one for batch, part in pairs for one in perturb.deviations(loaded, batch, part, sets)])
    means = rows.group_by("mask", maintain_order=True).agg(pl.len().alias("n"), pl.mean("deviation", "kl_next"))
    found = [
        dict(zip(NEURON, neurons[int(row["mask"])], strict=True))
        | {key: row[key] for key in ("n", "deviation", "kl_next")}
        for row in means.iter_rows(named=True)
    ]
    return pl.DataFrame(found, schema=ZEROED)


def from_files(
    loaded: Loaded,
    *,
    raws: Sequence[str],
    samples: Sequence[str],
    neurons: str,
    portion: Mapping[str, str],
    settings: Mapping[str, Any],
    batch: int,
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Examples and effects of the page's neurons, some domains in turn.

    portion   domain -> benchmark format, in the order of the files
    """
    shown = chosen(masks.read(neurons, settings["domains"]), settings["neurons"])
    for kind, raw, table in zip(portion.values(), raws, samples, strict=True):
        yield of_domain(loaded, kind, raw, table, shown, settings, batch)


def write(found: Iterable[tuple[pl.DataFrame, pl.DataFrame]], out: Any) -> None:
    """Write the tables of some domains.

    out   lists of paths: examples, zeroed
    """
    for (shown, effects), path, beside in zip(found, out.examples, out.zeroed, strict=True):
        tables.write(shown, path, EXAMPLES)
        tables.write(effects, beside, ZEROED)


def of_domain(
    loaded: Loaded,
    kind: str,
    raw: str,
    samples: str,
    shown: Sequence[Neuron],
    settings: Mapping[str, Any],
    batch: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Examples and effects of neurons in one domain, whose benchmark has the format `kind`."""
    benchmark, picture = base.load(kind), batches.picture_of(read_manifest(raw)["root"])
    asked = once_per_picture(read(samples))[: settings["samples"]]
    prompt = shard.prompts(loaded, benchmark, settings["prompt"])
    stream = batches.prefill(loaded, asked, prompt, picture, batch)
    found = peaks(loaded, asked, progress(stream, rounds(loaded, asked, batch), "batches"), shown, settings["images"])
    few = generate.questions(asked)[: settings["zeroed"]]
    full = shard.prompts(loaded, benchmark, "chat")
    pairs = [(one, [few[row] for row in one.rows]) for one in batches.prefill(loaded, few, full, picture, batch)]
    effects = zeroed_table(loaded, pairs, shown) if pairs and shown else pl.DataFrame(schema=ZEROED)
    return example_table(found, asked), effects


def once_per_picture(samples: Sequence[Sample]) -> list[Sample]:
    """The first question about each picture."""
    seen: set[tuple[str, ...]] = set()
    return [one for one in samples if not (one.images in seen or seen.add(one.images))]
