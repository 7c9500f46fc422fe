"""Pictures of maps: heat maps and masks of the best neurons of a noun, as files with a table of what they show."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.mm_neurons.image import grids, maps, masks
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Neurons
from vlmscope.mm_neurons.schemas import MAPS
from vlmscope.samples import read
from vlmscope.store import files

METHOD = "contribution"


def safe(noun: str) -> str:
    """A noun as a part of a file name; two nouns never share one.

    The released code makes folders of nouns as they are [differs: mm_neurons.md 8 B22].
    """
    name = re.sub(r"[^\w-]", "-", noun)
    # Letters of either case are one on some disks.
    return name if name == noun.lower() else f"{name}-{files.digest_text(noun)[:6]}"


def named(values: np.ndarray, neurons: Neurons, sizes: Sequence[int], singles: int) -> dict[str, np.ndarray]:
    """Grids float32 [row, column] by name: `10` for the mean over the ten best, `L2_u22` for one neuron.

    values   float32 [unit, row, column], best first
    """
    found = {}
    for name, grid in maps.means(values, sizes, singles).items():
        kind, _, number = name.partition("_")
        best = int(number) - 1
        found[number if kind == "average" else f"L{neurons.layer[best]}_u{neurons.unit[best]}"] = grid
    return found


def draw(
    picture: Image.Image, grid: np.ndarray, *, interpolation: maps.Interpolation, percentile: float
) -> tuple[Image.Image, Image.Image, np.ndarray]:
    """Heat map and mask over a picture, and the enlarged grid behind both."""
    shown = maps.enlarge(grid, (picture.height, picture.width), interpolation)
    return maps.heat(picture, shown), masks.masked(picture, masks.above(shown, percentile)), shown


def from_files(*, maps_file: str, neurons: str, samples: str, settings: Mapping[str, Any], folder: str) -> pl.DataFrame:
    """Draw into the folder; the table says what each file shows, see `schemas.MAPS`.

    settings   activations, sizes, singles, percentile, interpolation, images
    """
    rows: list[dict[str, Any]] = []
    with grids.opened(maps_file) as file:
        there = set(file[grids.SAMPLES])
        chosen = [one.sample for one in read(samples) if one.sample in there][: settings["images"]]
        Path(folder).mkdir(parents=True, exist_ok=True)
        for kind in settings["activations"]:
            best = lists.read(neurons, kind, METHOD, settings["singles"])
            for sample in chosen:
                rows += _of_sample(file, kind, sample, best, settings, Path(folder))
        for sample in chosen:
            _save(grids.picture(file, sample), Path(folder) / f"{sample}.png")
    return pl.DataFrame(rows, schema=MAPS)


def _of_sample(
    file: Any, kind: str, sample: str, best: Mapping[lists.Key, Neurons], own: Mapping[str, Any], folder: Path
) -> Iterator[dict[str, Any]]:
    """Rows of one picture's maps."""
    picture = grids.picture(file, sample)
    look = {key: own[key] for key in ("interpolation", "percentile")}
    for noun in grids.nouns(file, kind, METHOD, sample):
        values = grids.read(file, kind, METHOD, sample, noun)
        for name, grid in named(values, best[sample, noun], own["sizes"], own["singles"]).items():
            heat, mask, shown = draw(picture, grid, **look)
            row = {"activation": kind, "sample": sample, "noun": noun, "n": name}
            row |= {"low": float(shown.min()), "high": float(shown.max())}
            for look_of, image in (("heat", heat), ("mask", mask)):
                row[look_of] = f"{kind}/{sample}_{safe(noun)}_{look_of}_{name}.png"
                _save(image, folder / row[look_of])
            yield row


def _save(image: Image.Image, target: Path) -> None:
    with files.publish(target) as part:
        image.save(part, "PNG")
