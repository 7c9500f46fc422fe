"""Visual Genome: phrases about regions of photographs, one row each (xl_vlms.md 5).

The benchmark has no splits: every tenth picture is for evaluation here (ours). Drawn pictures say their split.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope import selection
from vlmscope.datasets import base
from vlmscope.datasets.karpathy import AT, QUERY, painted_name, place_of
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene
from vlmscope.world.words import article, listed

LABEL = "Visual Genome"
DOMAIN = "com"
SPLITS = ("train", "val")
SOURCE = "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html"
REGIONS, PICTURES = "region_descriptions.json", "image_data.json"
FOLDERS = ("VG_100K", "VG_100K_2")
EVERY = 10
BOX = ("x", "y", "width", "height")


def read(
    root: Path,
    split: str,
    *,
    name: str,
    limit: int | None = None,
    query: str = QUERY,
    keywords: str = "",
    match: str = "word",
    per_picture: int = 0,
) -> Iterator[Sample]:
    """One row per phrase; the answer is {captions: [phrase], region_id, image_id, box}, the box in pixels.

    query         what the model is asked of every picture
    keywords      keep phrases with one of these words (`selection.matcher`)
    per_picture   most phrases of one picture, the first ones; 0 for all
    """
    base.check_split(split, SPLITS, name)
    fits = selection.matcher(selection.listed(keywords), match) if keywords else lambda phrase: True
    wanted = _of_split(root, split)
    path = root / REGIONS
    rows: list[dict[str, Any]] = []
    for one in _read(path, _thin(fits)):
        base.need(one, ("id", "regions"), path, SOURCE)
        if one["id"] in wanted:
            kept = [region for region in one["regions"] if region is not None]
            rows += kept[: per_picture or None]

    def pictures(row: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [f"{folder}/{row['image_id']}.jpg" for folder in FOLDERS])]

    numbered = ((row["region_id"], row) for row in rows)
    for item in base.found(numbered, pictures, root, limit=limit, name=name):
        row = item.row
        answer = {"captions": [row["phrase"]], "region_id": row["region_id"], "image_id": row["image_id"]}
        answer["box"] = [row[key] for key in BOX]
        yield base.sample(item, name=name, split=split, question=query, answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes with phrases about colours, places and positions; pictures of the other split stay."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    others = [one for one in _read(root / PICTURES) if one["split"] != split] if (root / PICTURES).is_file() else []
    known = {one["image_id"] for one in others}
    told = [one for one in _read(root / REGIONS) if one["id"] in known] if known else []
    pictures = [base.write_picture(scene.image, root / FOLDERS[0] / f"{scene.seed}.jpg") for scene in scenes]
    data = others + [_picture(scene, split) for scene in scenes]
    regions = told + [{"id": scene.seed, "regions": _regions(scene)} for scene in scenes]
    # In the order of the splits, whichever was written last.
    place = {one["image_id"]: SPLITS.index(one["split"]) for one in data}
    data.sort(key=lambda one: place[one["image_id"]])
    regions.sort(key=lambda one: place[one["id"]])
    return [*pictures, base.write_json(data, root / PICTURES), base.write_json(regions, root / REGIONS)]


def prompt(sample: Sample, style: str) -> str:
    """The query; there is no longer form."""
    return base.styled(sample, style, sample.question)


def phrases(scene: Scene) -> list[tuple[str, int]]:
    """Phrases about a drawn scene and the thing each is about, counted from 1; 0 for all of the picture.

    One has colours and no place, one a place and no colour, the others a position each.
    """
    (_, where), things = place_of(scene), scene.things
    named = [article(thing.name) for thing in things]
    found = [(f"{listed(named)} {where}", 0)]
    if any(thing.name != "person" for thing in things):
        found.insert(0, (listed([article(painted_name(thing)) for thing in things]), 0))
    placed = [(f"{name} {AT[thing.position]}", k) for k, (name, thing) in enumerate(zip(named, things, strict=True), 1)]
    # A thing that others cover whole has no region.
    return found + [(phrase, k) for phrase, k in placed if (scene.mask == k).any()]


def _read(path: Path, keep: Callable[[dict], Any] | None = None) -> list[Any]:
    content = base.read_json(path, SOURCE, keep)
    if not isinstance(content, list):
        raise base.damaged(path, "it is no list", SOURCE)
    return content


def _thin(fits: Callable[[str], bool]) -> Callable[[dict[str, Any]], Any]:
    """Drops other phrases while the file is parsed: there are 5.4 million of them."""

    def keep(entry: dict[str, Any]) -> Any:
        return entry if "phrase" not in entry or fits(entry["phrase"]) else None

    return keep


def _of_split(root: Path, split: str) -> set[int]:
    """Numbers of the pictures of a split."""
    path, found = root / PICTURES, set()
    for place, one in enumerate(_read(path)):
        base.need(one, ("image_id",), path, SOURCE)
        usual = SPLITS[place % EVERY == EVERY - 1]
        if one.get("split", usual) == split:
            found.add(one["image_id"])
    return found


def _picture(scene: Scene, split: str) -> dict[str, Any]:
    height, width = scene.image.shape[:2]
    about = {"image_id": scene.seed, "url": f"file:///drawn/{scene.seed}.jpg", "width": width, "height": height}
    return {**about, "coco_id": None, "flickr_id": None, "split": split}


def _regions(scene: Scene) -> list[dict[str, Any]]:
    found = []
    for number, (phrase, thing) in enumerate(phrases(scene)):
        about = {"region_id": scene.seed * 100 + number, "image_id": scene.seed, "phrase": phrase}
        found.append(about | dict(zip(BOX, _box(scene, thing), strict=True)))
    return found


def _box(scene: Scene, thing: int) -> list[int]:
    """Left, top, width, height in pixels."""
    rows, columns = np.nonzero(scene.mask == thing) if thing else map(np.arange, scene.mask.shape)
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
