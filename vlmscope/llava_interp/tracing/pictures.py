"""Pictures whose maps of traced patches are drawn."""

from pathlib import Path

import polars as pl
from PIL import Image

from vlmscope.llava_interp.asking import geometry
from vlmscope.llava_interp.asking.geometry import View
from vlmscope.raw import read_manifest
from vlmscope.samples import picture, read

# Pixels along a side of a patch in figures.
PATCH = 14


def shown(gains: pl.DataFrame, raw: str, samples: str, most: int) -> dict[str, Image.Image]:
    """Sample -> the square that the model sees of it, of the first `most` traced pictures."""
    wanted = gains["sample"].unique(maintain_order=True).to_list()[:most]
    if not wanted:
        return {}
    grid, root = int(gains["grid"][0]), Path(read_manifest(raw)["root"])
    named = {one.sample: one for one in read(samples) if one.sample in set(wanted)}
    view = View(grid * PATCH, grid)
    return {name: geometry.viewed(picture(named[name], root), view, "aligned") for name in wanted}
