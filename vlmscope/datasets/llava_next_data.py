"""LLaVA-NeXT-Data: conversations about pictures embedded in parquet tables, and some without (multimodal_sae.md 5)."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from PIL import Image

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.datasets.shared import cells, talks
from vlmscope.datasets.shared.talks import prompt, turns, words
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

__all__ = ["DOMAIN", "LABEL", "SOURCE", "SPLITS", "prompt", "read", "turns", "words", "write"]

LABEL = "LLaVA-NeXT-Data"
DOMAIN = "com"
SPLITS = ("train",)
SOURCE = "https://huggingface.co/datasets/lmms-lab/LLaVA-NeXT-Data"
TEXT = {"dtype": "string", "_type": "Value"}
FEATURES = {
    "id": TEXT,
    "conversations": [{"from": TEXT, "value": TEXT}],
    "data_source": TEXT,
    "image": cells.FEATURE,
}
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        ("data_source", pa.string()),
        ("image", cells.PICTURE),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


class Row(NamedTuple):
    """A conversation without its picture, by its place in a table."""

    file: str
    place: int
    talk: talks.Talk


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """Conversations in the order of the official trainer (shuffled with seed 42); rows without a mark have no picture.

    Those about several pictures, and those whose picture is missing, are left out and counted.
    """
    base.check_split(split, SPLITS, name)
    # Words alone are held in memory; pictures (92 GB) are looked at when their turn comes.
    rows = [row for path in cells.parts(root / "data", split, SOURCE) for row in _rows(path, root)]
    numbered = ((rank, rows[k]) for rank, k in enumerate(orders.hub_order(len(rows)).tolist()))
    own = {"limit": limit, "name": name, "source": SOURCE, "bare": _is_bare}
    for item in cells.found(talks.single(numbered, name), root, **own):
        yield talks.sample(item, name=name, split=split)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes with a few questions each, and conversations without a picture."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    rows = [entry | {"image": _picture(scene)} for entry, scene in talks.drawn(scenes)]
    return [cells.write(rows, SCHEMA, root / "data" / f"{split}-00000-of-00001.parquet")]


def _picture(scene: Scene | None) -> dict[str, Any] | None:
    return cells.cell(Image.fromarray(scene.image), f"{scene.seed}.png") if scene else None


def _is_bare(row: Row) -> bool:
    return not row.talk.marks


def _rows(path: Path, root: Path) -> Iterator[Row]:
    """The rows of one table without their pictures."""
    table = base.read_table(path, ("id", "conversations"), SOURCE, optional=("data_source",))
    file = path.relative_to(root).as_posix()
    for place, entry in enumerate(table.iter_rows(named=True)):
        yield Row(file, place, talks.talk(entry, path, SOURCE))
