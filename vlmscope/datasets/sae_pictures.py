"""Pictures embedded in parquet tables, with the name of where each comes from: what autoencoders are looked at with.

`lmms-lab/sae-sample-cache-dataset` and its five parts, which have a picture and may have other columns
(multimodal_sae.md 5). Nothing is asked.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from PIL import Image

from vlmscope.datasets import base
from vlmscope.datasets.shared import cells
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "pictures for autoencoders"
DOMAIN = "com"
# The whole, and its parts, each from a repository of its own.
WHOLE = "cache"
PARTS = ("wilder", "mme", "coco2017", "mmvet", "next")
SPLITS = (WHOLE, *PARTS)
# Split -> folder and beginning of the names of its tables; the last part may lie in the folder of LLaVA-NeXT-Data.
FILES = {
    WHOLE: ("data", "train"),
    "wilder": ("wilder/data", "test"),
    "mme": ("mme/data", "test"),
    "coco2017": ("coco2017/data", "val"),
    "mmvet": ("mmvet/data", "test"),
    "next": ("data", "train"),
}
SOURCE = "https://huggingface.co/datasets/lmms-lab/sae-sample-cache-dataset"
FEATURES = {"image": cells.FEATURE, "source": {"dtype": "string", "_type": "Value"}}
SCHEMA = pa.schema(
    [("image", cells.PICTURE), ("source", pa.string())],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


class Row(NamedTuple):
    """A picture by its place in a table, and where it comes from."""

    file: str
    place: int
    origin: str


def read(root: Path, split: str, *, name: str, limit: int | None = None, unique: bool = True) -> Iterator[Sample]:
    """Pictures in the official order, numbered by their rows; the answer is {source}.

    unique   a picture that is there again, byte by byte, is left out: nothing else tells them apart [differs: 8 B6]
    """
    base.check_split(split, SPLITS, name)
    folder, stem = FILES[split]
    rows = (row for path in cells.parts(root / folder, stem, SOURCE) for row in _rows(path, root, split))
    found = cells.found(enumerate(rows), root, limit=limit, name=name, source=SOURCE, unique=unique)
    for item in found:
        yield base.sample(item, name=name, split=split, question="", answer={"source": item.row.origin})


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as pictures embedded without loss."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    folder, stem = FILES[split]
    rows = [{"image": cells.cell(Image.fromarray(one.image), f"{one.seed}.png"), "source": "drawn"} for one in scenes]
    return [cells.write(rows, SCHEMA, root / folder / f"{stem}-00000-of-00001.parquet")]


def prompt(sample: Sample, style: str) -> str:
    """The picture alone."""
    return base.styled(sample, style, sample.question)


def _rows(path: Path, root: Path, split: str) -> Iterator[Row]:
    """The rows of one table without their pictures; parts do not say where they come from."""
    origins = base.read_table(path, (), SOURCE, optional=("source",))["source"]
    file = path.relative_to(root).as_posix()
    for place, origin in enumerate(origins):
        yield Row(file, place, origin or split)
