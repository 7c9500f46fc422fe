"""COCO 2017 with its instances: photographs, the objects in them, and questions that an object answers.

A row per picture, in the order of the instances file (llava_interp.md 2.2, 5). Questions are those of the released
`clean_questions.json`: picture number -> none or one question; the answer is the class of the object that the filter
picks, so it is not in the file.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmscope.datasets import base, vqav2
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "COCO objects"
DOMAIN = "com"
SPLITS = ("train", "val")
SOURCE = "https://cocodataset.org/#download"
QUESTIONS = "clean_questions.json"
ASKED = f"https://github.com/clemneo/llava-interp (pictures and objects: {SOURCE})"
NEEDED = ("id", "image_id", "category_id", "segmentation", "area", "bbox")


def read(root: Path, split: str, *, name: str, limit: int | None = None, most: int = 0) -> Iterator[Sample]:
    """One row per picture; the answer is {image_id, objects}: all annotations with their class, crowds included.

    most   pictures with more annotations are left out; 0 keeps all
    """
    base.check_split(split, SPLITS, name)
    path = root / f"annotations/instances_{split}2017.json"
    content = base.read_json(path, SOURCE)
    if not isinstance(content, dict):
        raise base.damaged(path, "there is no object of images, annotations and categories", SOURCE)
    objects, asked = _objects(content, path), _questions(root, split)
    images = _list(content, "images", path)
    for image in images:
        base.need(image, ("id", "file_name"), path, SOURCE)
    numbered = [one for one in enumerate(images) if not most or len(objects[one[1]["id"]]) <= most]

    def pictures(image: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [f"{split}2017/{image['file_name']}"])]

    for item in base.found(numbered, pictures, root, limit=limit, name=name):
        number = item.row["id"]
        answer = {"image_id": number, "objects": objects[number]}
        question = next(iter(asked.get(str(number), [])), "")
        yield base.sample(item, name=name, split=split, question=question, answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as photographs with instances, and a question after one object of each."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    pictures = [base.write_picture(scene.image, root / f"{split}2017/{_file(scene)}") for scene in scenes]
    content = {
        "info": {},
        "licenses": [],
        "images": [vqav2.image(scene, _file(scene)) for scene in scenes],
        "annotations": vqav2.instances(scenes),
        "categories": vqav2.categories(),
    }
    questions = {str(scene.seed): asked(scene) for scene in scenes}
    return [
        *pictures,
        base.write_json(content, root / f"annotations/instances_{split}2017.json"),
        base.write_json(questions, root / f"{split}2017/{QUESTIONS}"),
    ]


def prompt(sample: Sample, style: str) -> str:
    """The question; there is no longer form."""
    return base.styled(sample, style, sample.question)


def asked(scene: Scene) -> list[str]:
    """A question whose answer is the first thing of which there is but one; none where all have company."""
    seen = [thing for k, thing in enumerate(scene.things, start=1) if (scene.mask == k).any()]
    counts = Counter(thing.name for thing in seen)
    alone = next((thing.name for thing in seen if counts[thing.name] == 1), None)
    return [one.text for one in scene.questions if one.text.startswith("what is ") and one.answer == alone][:1]


def _file(scene: Scene) -> str:
    return f"{scene.seed:012d}.jpg"


def _objects(content: dict[str, Any], path: Path) -> dict[int, list[dict[str, Any]]]:
    """Picture number -> its annotations in the order of the file, with the name of their class."""
    classes = {one["id"]: one["name"] for one in _list(content, "categories", path)}
    found = defaultdict(list)
    for one in _list(content, "annotations", path):
        base.need(one, NEEDED, path, SOURCE)
        if one["category_id"] not in classes:
            raise base.damaged(path, f"there is no category {one['category_id']}", SOURCE)
        kept = {key: one[key] for key in ("id", "area", "bbox", "segmentation")}
        told = {"class": classes[one["category_id"]], "crowd": bool(one.get("iscrowd", 0))}
        found[one["image_id"]].append(kept | told)
    return found


def _list(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    if not isinstance(content.get(key), list):
        raise base.damaged(path, f"there is no list {key!r}", SOURCE)
    return content[key]


def _questions(root: Path, split: str) -> dict[str, list[str]]:
    """Questions by picture number: those of the split, or the released file, which is about the training split."""
    own, released = root / f"{split}2017/{QUESTIONS}", root / QUESTIONS
    path = own if own.is_file() else released
    content = base.read_json(path, ASKED)
    texts = content.values() if isinstance(content, dict) else [None]
    if not all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in texts):
        raise base.damaged(path, "it is no object of lists of questions", ASKED)
    return content
