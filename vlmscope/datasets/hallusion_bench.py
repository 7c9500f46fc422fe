"""HallusionBench: questions to be answered yes or no, about pictures that look otherwise than one would say.

Questions that come without a picture are left out. Drawn ones ask for things that are there, and for things that go
with what is there but are not.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmscope.datasets import base, pope
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene
from vlmscope.world.words import article, is_there

LABEL = "HallusionBench"
DOMAIN = "com"
CATEGORIES = ("VD", "VS")
# Visual dependent, visual supplement, all with a picture.
SPLITS = (*CATEGORIES, "image")
SOURCE = "https://github.com/tianyi-lab/HallusionBench"
FILE = "HallusionBench.json"
PICTURES = "hallusion_bench"
NAMES = ("category", "subcategory", "set_id", "figure_id", "question_id")
ANSWERS = {"1": "yes", "0": "no"}
DRAWN = "everyday"


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """One row per question about a picture; the answer is {answer: yes or no} and where the question belongs.

    split   VD, VS, or image for both
    """
    base.check_split(split, SPLITS, name)
    rows = [(place, one) for place, one in enumerate(_entries(root)) if _belongs(one, split)]

    def pictures(row: dict[str, Any]) -> list[str | None]:
        # The first release names the folder of the archive, the whole one does not.
        place = row["filename"].removeprefix("./")
        return [base.first_there(root, [place, f"{PICTURES}/{place}"])]

    for item in base.found(rows, pictures, root, limit=limit, name=name):
        row = item.row
        answer = {"answer": ANSWERS[row["gt_answer"]], **{key: row[key] for key in NAMES}}
        yield base.sample(item, name=name, split=split, question=row["question"], answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes with questions after things; those of another category stay in the list."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    category = "VS" if split == "VS" else "VD"
    there = _entries(root) if (root / FILE).is_file() else []
    entries = questions(scenes, category)
    # In the order of the categories, whichever was written last.
    every = sorted(
        [one for one in there if one["category"] != category] + entries,
        key=lambda one: CATEGORIES.index(one["category"]),
    )
    pictures = [base.write_picture(scene.image, root / PICTURES / _picture(scene, category)) for scene in scenes]
    return [*pictures, base.write_json(every, root / FILE)]


def prompt(sample: Sample, style: str) -> str:
    """The question; there is no longer form."""
    return base.styled(sample, style, sample.question)


def questions(scenes: Sequence[Scene], category: str) -> list[dict[str, str]]:
    """Of every scene what is there, and as many things that are not but go with what is."""
    numbers: dict[int, int] = {}
    rows = []
    for scene, thing, there, subset in pope.asked(scenes):
        if there or subset == "adversarial":
            number = numbers[scene.seed] = numbers.get(scene.seed, -1) + 1
            rows.append(_entry(scene, thing, there, category, number))
    return rows


def _entry(scene: Scene, thing: str, there: bool, category: str, number: int) -> dict[str, str]:
    asked = is_there(thing, there)
    return {
        "category": category,
        "subcategory": DRAWN,
        "visual_input": "1",
        "set_id": str(scene.seed),
        "figure_id": "0",
        "sample_note": "drawn",
        "question_id": str(number),
        "question": asked.text,
        "gt_answer_details": f"There is {article(thing) if there else 'no ' + thing}.",
        "gt_answer": str(int(there)),
        "filename": f"./{_picture(scene, category)}",
    }


def _picture(scene: Scene, category: str) -> str:
    return f"{category}/{DRAWN}/{scene.seed}_0.png"


def _belongs(row: dict[str, Any], split: str) -> bool:
    # Questions without a picture have no file, or null for one.
    return bool(row.get("filename")) and split in ("image", row["category"])


def _entries(root: Path) -> list[dict[str, Any]]:
    path = root / FILE
    content = base.read_json(path, SOURCE)
    if not isinstance(content, list):
        raise base.damaged(path, "it is no list", SOURCE)
    for one in content:
        base.need(one, (*NAMES, "question", "gt_answer"), path, SOURCE)
        if one["gt_answer"] not in ANSWERS or one["category"] not in CATEGORIES:
            raise base.damaged(path, f"an entry has answer {one['gt_answer']!r} in {one['category']!r}", SOURCE)
    return content
