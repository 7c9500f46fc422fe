"""Conversations as LLaVA's own recipes read them: a JSON list, and a folder of pictures (multimodal_sae.md 5).

What `make_hf_dataset_llava` of the released code turns into a dataset of the hub is read as it is.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlmscope.datasets import base
from vlmscope.datasets.shared import talks
from vlmscope.datasets.shared.talks import prompt, turns, words
from vlmscope.samples import Sample, joined_size
from vlmscope.world.scene import Scene

__all__ = ["DOMAIN", "LABEL", "SOURCE", "SPLITS", "prompt", "read", "turns", "words", "write"]

LABEL = "conversations in LLaVA's layout"
DOMAIN = "com"
SPLITS = ("train",)
SOURCE = "a folder of yours with SPLIT.json and images/"


class Row(NamedTuple):
    """A conversation and the references of its pictures."""

    talk: talks.Talk
    images: tuple[str, ...]


def read(
    root: Path,
    split: str,
    *,
    name: str,
    limit: int | None = None,
    table: str = "{split}.json",
    pictures: str = "images",
) -> Iterator[Sample]:
    """Conversations in the order of the list; those about several pictures are left out and counted.

    table      name of the list below the folder
    pictures   folder below it that the list's paths begin in
    """
    base.check_split(split, SPLITS, name)
    path = root / table.format(split=split)
    entries = base.read_json(path, SOURCE)
    if not isinstance(entries, list):
        raise base.damaged(path, "it is no list", SOURCE)
    rows = ((number, _row(entry, pictures, path)) for number, entry in enumerate(entries))
    for item in _found(talks.single(rows, name), root, limit, name):
        yield talks.sample(item, name=name, split=split)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes with a few questions each, and conversations without a picture."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    entries, files = [], []
    for entry, scene in talks.drawn(scenes):
        if scene:
            files.append(base.write_picture(scene.image, root / "images" / f"{split}-{scene.seed}.png"))
            entry["image"] = files[-1].name
        entries.append(entry)
    return [*files, base.write_json(entries, root / f"{split}.json")]


def _row(entry: Any, pictures: str, path: Path) -> Row:
    """A row; where the list names pictures they decide, whatever the words point at."""
    own = talks.talk(entry, path, SOURCE)
    named = entry.get("image") or []
    images = [named] if isinstance(named, str) else list(named)
    return Row(own._replace(marks=len(images)), tuple(f"{pictures}/{one}" for one in images))


def _found(rows: Iterator[tuple[int, Row]], root: Path, limit: int | None, name: str) -> Iterator[base.Found]:
    """Rows without a picture, and those whose picture is there."""
    kept = words_alone = skipped = 0
    for index, row in rows:
        if limit is not None and kept >= limit:
            break
        there = base.first_there(root, row.images)
        if row.images and there is None:
            skipped += 1
            continue
        kept, words_alone = kept + 1, words_alone + (not row.images)
        yield base.Found(index, row, row.images, *(joined_size(row.images, root) if row.images else (0, 0)))
    base.report(name, root, kept - words_alone, skipped, skipped)
