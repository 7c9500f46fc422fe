"""VQAv2, common scenes: photographs with ten human answers per question (mmneuron.md 5.4).

The drawn world also gets captions and exact instance masks in the format of COCO, of which VQAv2 takes its pictures.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.samples import Sample
from vlmscope.world.labels import OBJECTS
from vlmscope.world.scene import Question, Scene

LABEL = "VQAv2"
DOMAIN = "com"
SPLITS = ("train", "val")
SOURCE = "https://visualqa.org/download.html"
# Ten annotators: most are sure, some hesitate, one is not.
CONFIDENCES = ("yes",) * 8 + ("maybe", "no")


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """One question per photograph in the official order; the answer is the list of ten human answers."""
    base.check_split(split, SPLITS, name)
    path = root / f"v2_OpenEnded_mscoco_{split}2014_questions.json"
    questions = base.entries(path, "questions", SOURCE)
    for question in questions:
        base.need(question, ("image_id", "question", "question_id"), path, SOURCE)
    firsts = orders.first_per(enumerate(orders.list_order(questions)), lambda question: question["image_id"])

    def pictures(question: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [_picture(split, question["image_id"])])]

    # The rows are chosen before the answers are read, so that only their answers stay in memory.
    items = list(base.found(firsts, pictures, root, limit=limit, name=name))
    answers = _answers(root, split, {item.row["question_id"] for item in items})
    for item in items:
        row = item.row
        yield base.sample(
            item, name=name, split=split, question=row["question"], answer=answers[str(row["question_id"])]
        )


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as photographs with questions, answers, captions and instance masks."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    pictures = [base.write_picture(scene.image, root / _picture(split, scene.seed)) for scene in scenes]
    # No derived dictionary is written: the benchmark does not ship one either.
    head = {"info": {}, "license": {}, "data_subtype": f"{split}2014"}
    asked = [(scene, k, question) for scene in scenes for k, question in enumerate(scene.questions)]
    questions = [_question(*one) for one in asked]
    annotations = [_annotation(*one) for one in asked]
    coco = {
        "info": {},
        "licenses": [],
        "images": [image(scene, Path(_picture(split, scene.seed)).name) for scene in scenes],
    }
    contents = {
        f"v2_OpenEnded_mscoco_{split}2014_questions": {**head, "questions": questions},
        f"v2_mscoco_{split}2014_annotations": {**head, "annotations": annotations},
        f"captions_{split}2014": {**coco, "annotations": [_caption(scene) for scene in scenes]},
        f"instances_{split}2014": {**coco, "annotations": instances(scenes), "categories": categories()},
    }
    return pictures + [base.write_json(content, root / f"{stem}.json") for stem, content in contents.items()]


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question with the request for one word or phrase."""
    return base.styled(sample, style, base.short_answer(sample))


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """A mask as COCO writes it uncompressed: run lengths down the columns, background first.

    mask   bool [height, width]
    """
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    # Places where the value changes; the pixel before the first counts as background.
    edges = np.flatnonzero(np.diff(flat, prepend=False))
    # A run that starts with the first pixel makes the first count 0: counts alternate, background first.
    counts = np.diff(edges, prepend=0, append=len(flat))
    return {"counts": counts.tolist(), "size": list(mask.shape)}


def _picture(split: str, image_id: int) -> str:
    return f"{split}2014/COCO_{split}2014_{image_id:012d}.jpg"


def _answers(root: Path, split: str, wanted: Collection[int]) -> dict[str, list[dict[str, Any]]]:
    """Human answers by question number: from the derived dictionary when it is there, else from the annotations."""
    derived = root / f"v2_mscoco_{split}2014_ansdict.json"
    path = derived if derived.is_file() else root / f"v2_mscoco_{split}2014_annotations.json"
    if path == derived:
        answers = base.read_json(path, SOURCE)
    else:
        kept = base.entries(path, "annotations", SOURCE, _only(wanted))
        answers = {str(one["question_id"]): one["answers"] for one in kept if one is not None}
    lacking = [number for number in wanted if str(number) not in answers]
    if lacking:
        raise base.damaged(path, f"{len(lacking)} questions have no answers, {lacking[0]} for one", SOURCE)
    return answers


def _only(wanted: Collection[int]) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Drops other questions while the file is parsed: the training annotations are 4.4 million answers."""

    def keep(entry: dict[str, Any]) -> dict[str, Any] | None:
        is_other = "answers" in entry and entry.get("question_id") not in wanted
        return None if is_other else entry

    return keep


def _question(scene: Scene, k: int, question: Question) -> dict[str, Any]:
    return {"image_id": scene.seed, "question": question.text, "question_id": scene.seed * 1000 + k}


def _annotation(scene: Scene, k: int, question: Question) -> dict[str, Any]:
    answers = [
        {"answer": question.answer, "answer_confidence": confidence, "answer_id": number}
        for number, confidence in enumerate(CONFIDENCES, start=1)
    ]
    return {
        "question_type": " ".join(question.text.split()[:2]),
        "multiple_choice_answer": question.answer,
        "answers": answers,
        "image_id": scene.seed,
        "answer_type": _answer_type(question.answer),
        "question_id": scene.seed * 1000 + k,
    }


def _answer_type(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdigit() else "other"


def image(scene: Scene, name: str) -> dict[str, Any]:
    """What COCO says of a picture with this file name."""
    height, width = scene.image.shape[:2]
    return {"id": scene.seed, "file_name": name, "width": width, "height": height}


def _caption(scene: Scene) -> dict[str, Any]:
    return {"id": scene.seed, "image_id": scene.seed, "caption": scene.caption}


def categories() -> list[dict[str, Any]]:
    """The classes of all drawn things as COCO lists them."""
    return [{"id": k, "name": name, "supercategory": "drawn"} for k, name in enumerate(OBJECTS, start=1)]


def instances(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    """One entry per thing that can be seen; a thing that others cover whole has none."""
    return [
        {
            "id": scene.seed * 1000 + k,
            "image_id": scene.seed,
            "category_id": OBJECTS.index(thing.name) + 1,
            "iscrowd": 0,
            "segmentation": run_lengths(scene.mask == k),
            "area": int((scene.mask == k).sum()),
            "bbox": _box(scene.mask == k),
        }
        for scene in scenes
        for k, thing in enumerate(scene.things, start=1)
        if (scene.mask == k).any()
    ]


def _box(mask: np.ndarray) -> list[int]:
    """Left, top, width, height in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
