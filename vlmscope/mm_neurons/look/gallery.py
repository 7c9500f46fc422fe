"""What the gallery shows: pictures with captions; of every noun maps, neurons, words, what is written without them."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import polars as pl
from PIL import Image

from vlmscope.mm_neurons.image import draw, grids
from vlmscope.mm_neurons.look.examples import Known
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Key, Neurons
from vlmscope.mm_neurons.results import Results
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS, NEURON_TOKENS, NOUNS, ZERO
from vlmscope.store import tables

METHOD = draw.METHOD
KEPT = "kept"
# Grids are kept as whole numbers of this many steps between their least and their largest value.
STEPS = 65535
# Sets of neurons that are changed, in the order of the page: the best ones, then their controls.
SETS = (METHOD, "random_layers", "random")


@dataclass(frozen=True)
class Page:
    """Contents of the gallery.

    data       images, neurons and their words, as plain lists and tables
    pictures   of data["images"], in their order
    """

    data: dict[str, Any]
    pictures: list[Image.Image]


def pieces(caption: str, nouns: Sequence[str]) -> list[list[Any]]:
    """A caption in parts: text, and the number of the noun that it is, or -1; nouns as whole words."""
    if not nouns:
        return [[caption, -1]]
    # Of nouns that begin alike the longer one is tried first.
    longest = sorted(nouns, key=len, reverse=True)
    pattern = rf"(?<!\w)({'|'.join(map(re.escape, longest))})(?!\w)"
    parts = re.split(pattern, caption)
    return [[part, nouns.index(part) if place % 2 else -1] for place, part in enumerate(parts) if part]


def packed(grid: np.ndarray) -> list[Any]:
    """Least and largest value of a grid [row, column], and the grid between them as 16-bit numbers in base64."""
    low, high = float(grid.min()), float(grid.max())
    shares = (grid - low) / (high - low) if high > low else np.zeros_like(grid)
    steps = np.round(STEPS * shares.astype(np.float64)).astype("<u2")
    return [low, high, base64.b64encode(steps.tobytes()).decode()]


def changed(effects: pl.DataFrame, sample: str, noun: str) -> list[dict[str, Any]]:
    """What became of a noun by kind, set, activation, k, sigma: means over draws, and the caption of the first draw.

    effects   `schemas.EFFECTS`
    Neurons set to zero stand before those with noise.
    """
    own = effects.filter(pl.col("sample") == sample, pl.col("noun") == noun, pl.col("set").is_in(SETS)).sort("draw")
    found = own.group_by("kind", "set", "activation", "k", "sigma", maintain_order=True).agg(
        pl.col("gone").mean().round(4),
        pl.col("dlogp").mean().round(4),
        pl.len().alias("draws"),
        pl.col("caption").first(),
    )
    order = pl.col("set").replace_strict(list(SETS), range(len(SETS)), return_dtype=pl.Int8)
    return found.sort(pl.col("kind") != ZERO, "sigma", "k", order, "activation").rows(named=True)


class Source:
    """Files of a model, opened.

    settings   activations, listed, sizes, singles
    """

    def __init__(self, results: Results, maps: h5py.File, settings: Mapping[str, Any]) -> None:
        self.maps, self.settings = maps, settings
        self.effects = tables.read(results.effects, EFFECTS)
        self.known = Known(tables.read(results.tokens, NEURON_TOKENS))
        most = max(settings["listed"], settings["singles"])
        self.best: dict[str, Mapping[Key, Neurons]] = {
            kind: lists.read(results.neurons, kind, METHOD, most) for kind in settings["activations"]
        }

    def image(self, caption: Mapping[str, Any], nouns: pl.DataFrame) -> dict[str, Any]:
        """A caption with its nouns.

        nouns   rows of `schemas.NOUNS` of this sample
        """
        rows = [row for row in nouns.iter_rows(named=True) if row["noun"] is not None]
        # In the order of the caption.
        kept = sorted((row for row in rows if row["status"] == KEPT), key=lambda row: (row["position"], row["noun"]))
        own = {key: caption[key] for key in ("sample", "caption", "reference")}
        own["carried"] = grids.is_carried(self.maps, caption["sample"])
        return {
            **own,
            "pieces": pieces(caption["caption"], [row["noun"] for row in kept]),
            "nouns": [self.noun(row) for row in kept],
            "dropped": [[row["noun"], row["status"]] for row in rows if row["status"] != KEPT],
        }

    def noun(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A noun with its neurons and maps by activation, and what becomes of it when neurons are changed."""
        about = {key: row[key] for key in ("noun", "n_subtokens", "starts_word", "in_picture")}
        by = {kind: self.of_activation(kind, row["sample"], row["noun"]) for kind in self.best}
        return {**about, "by": by, "changed": changed(self.effects, row["sample"], row["noun"])}

    def of_activation(self, kind: str, sample: str, noun: str) -> dict[str, Any]:
        """Best neurons as number, score, and whether they were active below zero; grids by name."""
        best = self.best[kind][sample, noun]
        values = grids.read(self.maps, kind, METHOD, sample, noun)
        named = draw.named(values, best, self.settings["sizes"], self.settings["singles"])
        chosen = zip(*(getattr(best, name).tolist() for name in lists.TYPES), strict=True)
        listed = [
            [self.known.place(layer, unit, below), float(f"{score:.4g}"), below] for layer, unit, score, below in chosen
        ]
        return {
            "neurons": listed[: self.settings["listed"]],
            "grid": list(values.shape[1:]),
            "maps": [[name, *packed(grid)] for name, grid in named.items()],
        }


def from_files(results: Results, settings: Mapping[str, Any]) -> Page:
    """The gallery of the first images that have maps.

    settings   activations, listed, sizes, singles, percentile, interpolation, images, sigma_mode
    """
    said, told = tables.read(results.captions, CAPTIONS), tables.read(results.nouns, NOUNS)
    with grids.opened(results.maps) as file:
        chosen = said.filter(pl.col("sample").is_in(list(file[grids.SAMPLES]))).head(settings["images"])
        source = Source(results, file, settings)
        images = [source.image(row, told.filter(sample=row["sample"])) for row in chosen.iter_rows(named=True)]
        pictures = [grids.picture(file, sample).convert("RGB") for sample in chosen["sample"]]
    own = {key: settings[key] for key in ("activations", "percentile", "interpolation", "sigma_mode")}
    return Page({**own, "images": images, "neurons": source.known.rows()}, pictures)
