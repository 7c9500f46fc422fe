"""What the neuron page shows: firing per domain, best pictures with maps, and the effect of zeroing each neuron."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.datasets import base
from vlmscope.mmneuron import masks, modules
from vlmscope.mmneuron.schemas import EXAMPLES, NEURON, ZEROED
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, picture, read
from vlmscope.store import tables
from vlmscope.store.shards import DomainCounts, read_counts

Neuron = tuple[str, int, int]


@dataclass(frozen=True)
class Page:
    """Contents of the page.

    data       neurons, domains and pictures' captions, as plain lists and tables
    pictures   small pictures, in the order of data["pictures"]
    """

    data: dict[str, Any]
    pictures: list[Image.Image]


def from_files(
    *,
    neurons: str,
    counts: Sequence[str],
    examples: Sequence[str],
    zeroed: Sequence[str],
    raws: Sequence[str],
    samples: Sequence[str],
    settings: Mapping[str, Any],
    kinds: Mapping[str, str],
) -> Page:
    """The page of a model; one file per domain in each list, in the order of settings["domains"]."""
    domains, family = settings["domains"], settings["family"]
    shown = {domain: tables.read(path, EXAMPLES) for domain, path in zip(domains, examples, strict=True)}
    effects = {domain: tables.read(path, ZEROED) for domain, path in zip(domains, zeroed, strict=True)}
    wanted = list(dict.fromkeys(row for table in shown.values() for row in table.select(NEURON.keys()).rows()))
    fired = {
        module: read_counts(dict(zip(domains, counts, strict=True)), modules.take_name(family, module))
        for module in modules.sites(family)
    }
    captions, pictures = _pictures(shown, raws, samples, settings["pixels"])
    places = {caption["sample"]: place for place, caption in enumerate(captions)}
    owners = _owners(masks.read(neurons, domains))
    data = {
        "domains": [{"name": domain, "label": base.load(kinds[domain]).LABEL} for domain in domains],
        "modules": [
            {"name": module, "layers": len(one.fired[0]), "seen": one.seen.tolist(), "inert": sorted(one.inert)}
            for module, one in fired.items()
        ],
        "neurons": [_neuron(one, owners[one], fired[one[0]], shown, effects, places) for one in wanted],
        "pictures": captions,
    }
    return Page(data, pictures)


def _owners(neurons: pl.DataFrame) -> dict[Neuron, tuple[list[str], float]]:
    """Neuron -> domains that it is specific to, and its entropy in nats."""
    grouped = neurons.group_by(*NEURON).agg(pl.col("domain"), pl.col("entropy").first())
    return {row[:3]: row[3:] for row in grouped.rows()}


def _pictures(
    shown: Mapping[str, pl.DataFrame], raws: Sequence[str], samples: Sequence[str], pixels: int
) -> tuple[list[dict[str, str]], list[Image.Image]]:
    """Captions of all pictures that are shown, and the pictures, each once."""
    captions, pictures = [], []
    for table, raw, path in zip(shown.values(), raws, samples, strict=True):
        wanted, root = set(table["sample"]), Path(read_manifest(raw)["root"])
        for sample in read(path):
            if sample.sample in wanted:
                captions.append({"sample": sample.sample, "question": sample.question})
                pictures.append(_small(sample, root, pixels))
    return captions, pictures


def _small(sample: Sample, root: Path, pixels: int) -> Image.Image:
    small = picture(sample, root)
    small.thumbnail((pixels, pixels))
    return small


def _neuron(
    neuron: Neuron,
    owner: tuple[list[str], float],
    counts: DomainCounts,
    shown: Mapping[str, pl.DataFrame],
    effects: Mapping[str, pl.DataFrame],
    places: Mapping[str, int],
) -> dict[str, Any]:
    module, layer, unit = neuron
    peaks = {domain: _of(table, neuron).sort("rank") for domain, table in shown.items()}
    # Maps of one neuron share one scale, so that domains can be compared by eye.
    top = max((row["highest"] for table in peaks.values() for row in table.iter_rows(named=True)), default=0.0)
    zeroing = [_of(table, neuron).select("deviation", "kl_next", "n").rows() for table in effects.values()]
    return {
        "module": module,
        "layer": layer,
        "unit": unit,
        "domains": sorted(owner[0], key=list(shown).index),
        "entropy": _rounded(owner[1]),
        "fired": counts.fired[:, layer, unit].tolist(),
        "top": _rounded(top),
        "zeroed": [[*map(_rounded, rows[0][:2]), rows[0][2]] if rows else None for rows in zeroing],
        "pictures": [
            [_example(row, top, places[row["sample"]]) for row in table.iter_rows(named=True)]
            for table in peaks.values()
        ],
    }


def _of(table: pl.DataFrame, neuron: Neuron) -> pl.DataFrame:
    module, layer, unit = neuron
    return table.filter((pl.col("module") == module) & (pl.col("layer") == layer) & (pl.col("index") == unit))


def _example(row: Mapping[str, Any], top: float, place: int) -> dict[str, Any]:
    values, start, views = np.array(row["values"], dtype=np.float32), 0, []
    for rows, columns, box in json.loads(row["shapes"]):
        part = values[start : start + rows * columns]
        start += rows * columns
        views.append({"rows": rows, "columns": columns, "box": box, "map": _bytes(part, top)})
    about = {name: _rounded(row[name]) for name in ("highest", "overall", "share")}
    return about | {"picture": place, "place": row["place"], "views": views}


def _bytes(values: np.ndarray, top: float) -> str:
    """Activations as bytes in base64: 0 for 0 and less, 255 for the neuron's highest one on the page."""
    shares = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    return base64.b64encode(np.round(255 * shares).astype(np.uint8).tobytes()).decode()


def _rounded(value: float) -> float:
    """Four significant digits: a page is for eyes."""
    return float(f"{value:.4g}")
