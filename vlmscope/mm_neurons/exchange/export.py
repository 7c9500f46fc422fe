"""Results of a model as the tree of files that the released code leaves behind, one activation per tree."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from PIL import Image

from vlmscope import samples as table
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.exchange import names
from vlmscope.mm_neurons.image import draw, grids
from vlmscope.mm_neurons.look.examples import texts
from vlmscope.mm_neurons.needs import TAKES
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Neurons
from vlmscope.mm_neurons.results import Results
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS, NEURON_TOKENS, NOISE, NOUNS
from vlmscope.raw import read_manifest
from vlmscope.store import files, rows, tables, torch_files
from vlmscope.store.rows import Rows

FORMAT = "vlmscope.released/1"
METHOD = draw.METHOD
KEPT = "kept"
Row = Mapping[str, Any]


class Tree:
    """A folder, and what is written into it.

    best       sample and noun -> its neurons
    texts      layer and unit -> decoded tokens, of the neurons that are listed
    settings   activation, listed, sizes, singles, percentile, interpolation
    """

    def __init__(self, folder: Path, results: Results, maps: h5py.File, captured: Rows, settings: Row) -> None:
        self.folder, self.maps, self.captured, self.settings = folder, maps, captured, settings
        self.best = lists.read(results.neurons, settings["activation"], METHOD)
        listed = {neuron for one in self.best.values() for neuron in _pairs(one, settings["listed"])}
        self.texts = texts(tables.read(results.tokens, NEURON_TOKENS), listed)
        # The released code knows noise alone, of one number of neurons and one strength; here it is the most of both.
        most = (pl.col("k") == pl.col("k").max()) & (pl.col("sigma") == pl.col("sigma").max())
        self.effects = tables.read(results.effects, EFFECTS).filter(kind=NOISE).filter(most & (pl.col("draw") == 0))

    def picture(self, number: int, image: Image.Image, caption: Row, nouns: list[Row]) -> Iterator[Path]:
        """Files of one picture, written as they are named.

        number   of the picture, from 1
        nouns    rows of `schemas.NOUNS` that were kept, in the order of their table
        """
        home = Path(names.image(number))
        yield self._image(home / "original_image.png", image)
        yield self._text(home / "nouns.json", [row["noun"] for row in nouns])
        shape = self.captured.values(0).shape
        found = [self.captured.values(caption["row"] + row["position"]) for row in nouns]
        yield self._tensor(home / "last_activation", np.stack(found) if found else np.zeros((0, *shape), np.float16))
        for row in nouns:
            yield from self.noun(home / names.noun(row["noun"]), caption, row["noun"])

    def noun(self, home: Path, caption: Row, noun: str) -> Iterator[Path]:
        """Files of one noun."""
        sample, kind = caption["sample"], self.settings["activation"]
        best, image = self.best[sample, noun], grids.picture(self.maps, sample)
        top = [
            {"neuron": list(neuron), "tokens": self.texts[neuron], "score": float(score)}
            for neuron, score in zip(_pairs(best, self.settings["listed"]), best.score, strict=False)
        ]
        yield self._text(home / "data.json", {"caption": caption["caption"], "top_neurons": top}, indent=4)
        yield self._tensor(home / "mm_neurons", [list(neuron) for neuron in _pairs(best)])
        yield self._tensor(home / "image_tensor", np.array(image.convert("RGB")))
        yield self._image(home / "image.png", image.convert("RGBA"))
        values = grids.read(self.maps, kind, METHOD, sample, noun)
        look = {key: self.settings[key] for key in ("interpolation", "percentile")}
        for name, grid in draw.named(values, best, self.settings["sizes"], self.settings["singles"]).items():
            heat, mask, _ = draw.draw(image, grid, **look)
            yield self._image(home / f"heatmap_{names.shown(name)}.png", heat)
            yield self._image(home / f"mask_{names.shown(name)}.png", mask)
        at_tokens = grids.tokens(self.maps, kind, METHOD, sample, noun)
        for rank in range(min(self.settings["singles"], len(at_tokens))):
            name = f"activation_L{best.layer[rank]}_u{best.unit[rank]}"
            yield self._tensor(home / name, at_tokens[rank].astype(np.float16))
        if noise := self._noise(caption, noun):
            yield self._text(home / "perturb.json", noise, indent=4)

    def _noise(self, caption: Row, noun: str) -> dict[str, str]:
        """Captions under noise on the noun's neurons and on random ones; nothing where there was none."""
        own = self.effects.filter(sample=caption["sample"], noun=noun)
        found = {
            "perturb outputs": own.filter(set=METHOD, activation=self.settings["activation"])["caption"].to_list(),
            "random outputs": own.filter(set="random")["caption"].to_list(),
        }
        if not all(found.values()):
            return {}
        return {"original outputs": caption["caption"]} | {key: texts[0] for key, texts in found.items()}

    def _text(self, name: Path, value: Any, indent: int | None = None) -> Path:
        files.write_text(json.dumps(value, indent=indent, ensure_ascii=False), self.folder / name)
        return name

    def _tensor(self, name: Path, value: Any) -> Path:
        torch_files.write(value, self.folder / name)
        return name

    def _image(self, name: Path, image: Image.Image) -> Path:
        with files.publish(self.folder / name) as part:
            image.save(part, "PNG")
        return name


def write(folder: Path, results: Results, *, raw: str, samples: str, index: str, settings: Row) -> dict[str, Any]:
    """Write the first pictures below a folder; the manifest names every file with its digest.

    settings   images, and those of `Tree`
    """
    told = tables.read(results.nouns, NOUNS).filter(status=KEPT)
    said = {row["sample"]: row for row in tables.read(results.captions, CAPTIONS).iter_rows(named=True)}
    root, made = Path(read_manifest(raw)["root"]), []
    with grids.opened(results.maps) as opened, rows.opened(index, TAKES[settings["activation"]]) as captured:
        tree = Tree(folder, results, opened, captured, settings)
        numbered = [(number, one) for number, one in enumerate(table.read(samples), 1) if one.sample in said]
        for number, one in numbered[: settings["images"]]:
            caption = _captured(said[one.sample], results.captions)
            kept = list(told.filter(sample=one.sample).iter_rows(named=True))
            made += tree.picture(number, table.picture(one, root), caption, kept)
    about = {"format": FORMAT, "activation": settings["activation"]}
    return about | {"files": {str(name): files.digest(folder / name) for name in made}}


def _pairs(neurons: Neurons, k: int | None = None) -> list[tuple[int, int]]:
    """Layer and unit of the k best, or of all."""
    return list(zip(neurons.layer[:k].tolist(), neurons.unit[:k].tolist(), strict=True))


def _captured(caption: Row, path: str) -> Row:
    if caption["row"] is None:
        raise VlmscopeError(
            f"The caption of {caption['sample']} was imported; there are no activations of it to export.",
            where=path,
            instead="the tree that it was imported from",
        )
    return caption
