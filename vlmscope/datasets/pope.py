"""POPE: is a thing in the photograph or not, where what is not there is random, popular, or goes with what is.

Two layouts are read: `{train,test}/annotations.json` with `images/` beside it, as the learn-to-steer code takes it
(xl_vlms.md 5), and the published `coco_pope_{subset}.json` beside `val2014/`.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from vlmscope.datasets import base
from vlmscope.samples import Sample
from vlmscope.world.objects import EVERYDAY
from vlmscope.world.scene import Scene
from vlmscope.world.words import is_there

LABEL = "POPE"
DOMAIN = "com"
SUBSETS = ("random", "popular", "adversarial")
SPLITS = ("train", "test", *SUBSETS)
SOURCE = "https://github.com/AoiDragon/POPE"
FILE = "annotations.json"
# What stands behind every question and is not asked.
CUT = "Answer with just one word."


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """One row per question; the answer is {answer: yes or no, subset}.

    split   train, test: every question; a subset: the questions of test that are to be answered yes, and the others of
            that subset
    """
    base.check_split(split, SPLITS, name)
    subsets = SUBSETS if split == "test" else (split,)
    published = {subset: root / f"coco_pope_{subset}.json" for subset in subsets}
    if all(path.is_file() for path in published.values()):
        rows = _joined([_published(path, subset) for subset, path in published.items()])
    else:
        rows = _annotated(root, split)

    def pictures(row: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [row["filename"]])]

    for item in base.found(enumerate(rows), pictures, root, limit=limit, name=name):
        answer = {"answer": item.row["response"], "subset": item.row["subset"]}
        yield base.sample(item, name=name, split=split, question=item.row["instruction"], answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes with questions of all subsets; the three of them share a file."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    folder = root / _folder(split)
    pictures = [base.write_picture(scene.image, folder / "images" / _picture(scene)) for scene in scenes]
    return [*pictures, base.write_json(questions(scenes), folder / FILE)]


def prompt(sample: Sample, style: str) -> str:
    """The question; there is no longer form."""
    return base.styled(sample, style, sample.question)


def questions(scenes: Sequence[Scene]) -> list[dict[str, str]]:
    """Of every scene what is there, and as many things of every subset that are not, by counts over these scenes."""
    return [_row(*one) for one in asked(scenes)]


def asked(scenes: Sequence[Scene]) -> Iterator[tuple[Scene, str, bool, str]]:
    """Scene, thing, whether it is there, and subset of every question."""
    seen = [sorted({thing.name for k, thing in enumerate(one.things, 1) if (one.mask == k).any()}) for one in scenes]
    often = Counter(name for names in seen for name in names)
    together = Counter(pair for names in seen for pair in permutations(names, 2))
    for scene, names in zip(scenes, seen, strict=True):
        absent = [name for name in EVERYDAY if name not in names]
        orders = {
            "random": random.Random(scene.seed).sample(absent, len(absent)),
            "popular": sorted(absent, key=lambda name: -often[name]),
            "adversarial": sorted(absent, key=lambda name: -sum(together[one, name] for one in names)),
        }
        yield from ((scene, name, True, SUBSETS[place % len(SUBSETS)]) for place, name in enumerate(names))
        yield from ((scene, name, False, key) for key, order in orders.items() for name in order[: len(names)])


def _row(scene: Scene, name: str, there: bool, subset: str) -> dict[str, str]:
    asked = is_there(name, there)
    about = {"filename": _picture(scene), "instruction": f"{asked.text} {CUT}"}
    return {**about, "response": asked.answer, "subset": subset}


def _folder(split: str) -> str:
    return "train" if split == "train" else "test"


def _picture(scene: Scene) -> str:
    return f"COCO_val2014_{scene.seed:012d}.jpg"


def _annotated(root: Path, split: str) -> list[dict[str, str]]:
    path = root / _folder(split) / FILE
    content = base.read_json(path, SOURCE)
    if not isinstance(content, list):
        raise base.damaged(path, "it is no list", SOURCE)
    rows = []
    for one in content:
        base.need(one, ("filename", "instruction", "response", "subset"), path, SOURCE)
        if split in ("train", "test", one["subset"]) or one["response"] == "yes":
            place = {"filename": f"{_folder(split)}/images/{one['filename']}"}
            rows.append(one | place | {"instruction": one["instruction"].split(CUT)[0].strip()})
    return rows


def _joined(parts: Sequence[Sequence[dict[str, str]]]) -> list[dict[str, str]]:
    """Questions of several files; those to be answered yes are the same in all, and stand once."""
    rows, seen = [], set()
    for row in (row for part in parts for row in part):
        key = row["filename"], row["instruction"]
        if row["response"] != "yes" or key not in seen:
            rows.append(row)
        seen.add(key)
    return rows


def _published(path: Path, split: str) -> list[dict[str, str]]:
    """Rows of a published file, one JSON object per line."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            one = json.loads(line)
        except ValueError as error:
            raise base.damaged(path, f"line {number}: {error}", SOURCE) from error
        base.need(one, ("image", "text", "label"), path, SOURCE)
        place = f"val2014/{one['image']}"
        rows.append({"filename": place, "instruction": one["text"], "response": one["label"], "subset": split})
    return rows
