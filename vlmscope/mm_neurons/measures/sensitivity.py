"""Are a word's neurons active where the thing is? (mm_neurons.md 6.2; ours). Notation as in `sets`.

The map of a noun is the mean of its k best neurons at the image tokens, enlarged to the picture (see `maps`). Drawn
pictures come with exact masks, so each thing has a region; photographs from links have none.
    iou              pixels above a percentile of the map against the region: intersection over union
    iou_same_area    the same with as many pixels as the region has, so that 1 can be reached
    pointing         whether the map is highest inside the region
    positive_share   part of the positive map that lies inside; `area` is what a map without any order would reach
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from PIL import Image

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.image import grids, maps, masks
from vlmscope.mm_neurons.measures import sets
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, open_one, read
from vlmscope.stats import Draws
from vlmscope.world.draw import draw

log = logging.getLogger(__name__)

VALUES = ("iou", "iou_same_area", "pointing", "positive_share", "area")
# n: images; nouns: with a region; without_region: places, and things that the picture does not show; regions: where
# they are from.
SENSITIVITY = {
    "method": pl.String,
    "activation": pl.String,
    "k": pl.Int64,
    **{f"{name}{end}": pl.Float64 for name in VALUES[:-1] for end in ("", "_low", "_high")},
    "area": pl.Float64,
    "n": pl.Int64,
    "nouns": pl.Int64,
    "without_region": pl.Int64,
    "regions": pl.String,
    "paper": pl.Float64,
}
DRAWN, NONE = "masks of the drawn world", "none: the data set has no regions"
# Mean difference in grey levels between a drawn picture and its JPEG: at most 2.7; between two pictures at least 11.
MOST_APART = 5.0


def regions(sample: Sample, kind: str, root: Path) -> dict[str, np.ndarray]:
    """Name of a thing -> where it can be seen in a drawn picture, bool [height, width]; things of one name together."""
    scene = draw(base.load(kind).DOMAIN, base.load(kind).seed_of(sample.images[0]))
    stored = np.asarray(open_one(sample.images[0], root), dtype=np.float64)
    if stored.shape != scene.image.shape or np.abs(stored - scene.image).mean() > MOST_APART:
        raise VlmscopeError(
            f"{sample.sample} is not the picture that is drawn now.",
            where=str(root / sample.images[0]),
            instead="delete results/data of this data set and run snakemake again",
        )
    found: dict[str, np.ndarray] = {}
    for number, thing in enumerate(scene.things, start=1):
        found[thing.name] = found.get(thing.name, False) | (scene.mask == number)
    return {name: mask for name, mask in found.items() if mask.any()}


def fitted(region: np.ndarray, picture: Image.Image) -> np.ndarray:
    """A region at the size of the picture that the patches are cut from, bool [height, width]."""
    height, width = region.shape
    if picture.width * height != picture.height * width:
        raise VlmscopeError(
            f"A region of {width} x {height} pixels does not lie over a picture of {picture.width} x {picture.height}.",
            where="mm_neurons.maps",
            instead="a model that is shown whole pictures",
        )
    return np.asarray(Image.fromarray(region).resize(picture.size, Image.Resampling.NEAREST))


def measured(shown: np.ndarray, region: np.ndarray, percentile: float) -> dict[str, float]:
    """The values of one map; NaN for the share of a map that is nowhere positive.

    shown    float64 [height, width]
    region   bool [height, width], not empty
    """
    area = region.mean()
    positive = np.maximum(shown, 0)
    return {
        "iou": _iou(masks.above(shown, percentile), region),
        "iou_same_area": _iou(masks.above(shown, 100 * (1 - area)), region),
        "pointing": float(region.flat[shown.argmax()]),
        "positive_share": float(positive[region].sum() / positive.sum()) if positive.any() else np.nan,
        "area": float(area),
    }


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def of_nouns(
    file: h5py.File,
    kind: tuple[str, str],
    there: Mapping[str, Mapping[str, np.ndarray]],
    *,
    sizes: Sequence[int],
    percentile: float,
    interpolation: maps.Interpolation,
) -> tuple[pl.DataFrame, int]:
    """Values of every noun with a region: sample, k, `VALUES`; and how many nouns have none.

    there   sample -> name -> region
    """
    rows, without = [], 0
    for sample, own in there.items():
        picture = grids.picture(file, sample)
        for noun in grids.nouns(file, *kind, sample):
            region = own.get(noun.casefold())
            without += region is None
            if region is not None:
                region, values = fitted(region, picture), grids.read(file, *kind, sample, noun)
                for k in (k for k in sizes if k <= len(values)):
                    shown = maps.enlarge(values[:k].mean(axis=0), region.shape, interpolation)
                    rows.append({"sample": sample, "k": k, **measured(shown, region, percentile)})
    return pl.DataFrame(rows, schema={"sample": pl.String, "k": pl.Int64, **dict.fromkeys(VALUES, pl.Float64)}), without


def rows(
    kind: tuple[str, str], values: pl.DataFrame, without: int, source: str, *, sizes: Sequence[int], draws: Draws
) -> list[dict[str, Any]]:
    """Rows of `SENSITIVITY` of one activation and method."""
    found = []
    for k in sizes:
        own = values.filter(k=k)
        row = {"method": kind[1], "activation": kind[0], "k": k, "nouns": len(own), "without_region": without}
        for name in VALUES:
            means = sets.by_image(own[name].to_numpy(), own["sample"].to_numpy().astype(str))
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), draws.mean(means), strict=True))
        row |= {"n": own["sample"].n_unique(), "regions": source}
        found.append({name: value for name, value in row.items() if name in SENSITIVITY})
    return found


def from_files(file: str, *, raw: str, samples: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """Table `SENSITIVITY` of all activations and methods that have maps.

    settings   kind of benchmark, k, percentile, interpolation, bootstrap, seed
    """
    about, draws, found = read_manifest(raw), Draws(settings["bootstrap"], settings["seed"]), []
    drawn = about["source"] == "drawn" and hasattr(base.load(settings["kind"]), "seed_of")
    look = {"percentile": settings["percentile"], "interpolation": settings["interpolation"]}
    with grids.opened(file) as opened:
        own = [one for one in read(samples) if drawn and one.sample in opened[grids.SAMPLES]]
        there = {one.sample: regions(one, settings["kind"], Path(about["root"])) for one in own}
        log.info("%d pictures with regions", len(there))
        for activation in (name for name in opened if name != grids.SAMPLES):
            for method in sorted(opened[activation], key=sets.rank):
                kind = activation, method
                values, without = of_nouns(opened, kind, there, sizes=settings["k"], **look)
                found += rows(kind, values, without, DRAWN if drawn else NONE, sizes=settings["k"], draws=draws)
    return sets.frame(found, SENSITIVITY)
