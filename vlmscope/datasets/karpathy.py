"""COCO captions in the splits of Karpathy: five sentences per photograph (xl_vlms.md 5)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmscope import selection
from vlmscope.datasets import base
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene, Thing
from vlmscope.world.words import article, listed

LABEL = "COCO captions"
DOMAIN = "com"
SPLITS = ("train", "restval", "val", "test")
SOURCE = "https://cs.stanford.edu/people/karpathy/deepimagesent/"
FILE = "karpathy/dataset_coco.json"
QUERY = "Provide a one-sentence caption for the provided image."
AT = {"left": "on the left", "middle": "in the middle", "right": "on the right"}


def read(
    root: Path,
    split: str,
    *,
    name: str,
    limit: int | None = None,
    query: str = QUERY,
    subset: int = 0,
    seed: int = 0,
    has: str = "",
    match: str = "word",
    any_caption: bool = False,
    ids: str = "",
) -> Iterator[Sample]:
    """One row per photograph; the answer is {captions, cocoid, split}.

    split         one, or several as `train+restval`
    query         what the model is asked of every picture; the released text begins with a line of its own
    subset, seed  the released code's random subset of that size, in its order; 0 takes all in the order of the file
    has, match    keep pictures whose first caption has one of these words, after the subset (`selection.matcher`)
    any_caption   look for them in all captions
    ids           file with names of pictures to keep (`selection.stems`)
    """
    for part in split.split("+"):
        base.check_split(part, SPLITS, name)
    rows = [one for one in _entries(root) if one["split"] in split.split("+")]
    numbered = [(int(place), rows[place]) for place in selection.subset(len(rows), subset, seed)]
    if has:
        fits = selection.matcher(selection.listed(has), match)
        numbered = [one for one in numbered if any(map(fits, _captions(one[1])[: None if any_caption else 1]))]
    if ids:
        wanted = selection.stems(ids)
        numbered = [one for one in numbered if selection.stem(one[1]["filename"]) in wanted]

    def pictures(row: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [_place(row["filename"])])]

    for item in base.found(numbered, pictures, root, limit=limit, name=name):
        row = item.row
        answer = {"captions": _captions(row), "cocoid": row["cocoid"], "split": row["split"]}
        yield base.sample(item, name=name, split=split, question=query, answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as photographs with five sentences each; pictures of other splits stay in the list."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    there = _entries(root) if (root / FILE).is_file() else []
    entries = [_entry(scene, split) for scene in scenes]
    # In the order of the splits, whichever was written last.
    every = sorted(
        [one for one in there if one["split"] != split] + entries, key=lambda one: SPLITS.index(one["split"])
    )
    pictures = [
        base.write_picture(scene.image, root / _place(entry["filename"]))
        for scene, entry in zip(scenes, entries, strict=True)
    ]
    return [*pictures, base.write_json({"images": _numbered(every), "dataset": "coco"}, root / FILE)]


def prompt(sample: Sample, style: str) -> str:
    """The query; there is no longer form."""
    return base.styled(sample, style, sample.question)


def sentences(scene: Scene) -> list[str]:
    """What five people would write: the scene's caption, then the same facts in other orders and with less detail."""
    (place, where), things = place_of(scene), scene.things
    named = [article(thing.name) for thing in things]
    painted = [article(painted_name(thing)) for thing in things]
    placed = [f"{name} {AT[thing.position]}" for name, thing in zip(named, things, strict=True)]
    return [
        scene.caption,
        f"{listed(named)} {where}",
        f"{listed(painted[::-1])} {where}",
        listed(placed),
        f"{article(place)} with {listed(painted)}",
    ]


def place_of(scene: Scene) -> tuple[str, str]:
    """Place of an everyday scene, and how a caption says it: `beach`, `on the beach`."""
    place = next(asked.answer for asked in scene.questions if asked.text == "what place is this?")
    return place, f"{'on' if place == 'beach' else 'in'} the {place}"


def painted_name(thing: Thing) -> str:
    """`red dog`; nobody names a person's colour."""
    return thing.name if thing.name == "person" else f"{thing.color} {thing.name}"


def _entries(root: Path) -> list[dict[str, Any]]:
    path = root / FILE
    entries = base.entries(path, "images", SOURCE)
    for one in entries:
        base.need(one, ("filename", "split", "cocoid", "sentences"), path, SOURCE)
        if not one["sentences"] or not all(isinstance(told, dict) and "raw" in told for told in one["sentences"]):
            raise base.damaged(path, f"{one['filename']} has no sentences", SOURCE)
        if "train" not in one["filename"] and "val" not in one["filename"]:
            raise base.damaged(path, f"{one['filename']} is in neither train2014 nor val2014", SOURCE)
    return entries


def _captions(row: dict[str, Any]) -> list[str]:
    return [told["raw"].strip() for told in row["sentences"]]


def _place(filename: str) -> str:
    """Folder and name: the folder is told by the name, not by the split, as in the released code."""
    return f"{'train2014' if 'train' in filename else 'val2014'}/{filename}"


def _entry(scene: Scene, split: str) -> dict[str, Any]:
    folder = "train2014" if split == "train" else "val2014"
    told = [{"raw": text, "tokens": text.replace(",", "").split()} for text in sentences(scene)]
    return {
        "filename": f"COCO_{folder}_{scene.seed:012d}.jpg",
        "filepath": folder,
        "split": split,
        "cocoid": scene.seed,
        "sentences": told,
    }


def _numbered(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with running numbers of pictures and sentences."""
    found, number = [], 0
    for place, entry in enumerate(entries):
        numbers = list(range(number, number + len(entry["sentences"])))
        number += len(numbers)
        told = [
            {"raw": one["raw"], "tokens": one["tokens"], "imgid": place, "sentid": own}
            for one, own in zip(entry["sentences"], numbers, strict=True)
        ]
        found.append({**entry, "imgid": place, "sentids": numbers, "sentences": told})
    return found
