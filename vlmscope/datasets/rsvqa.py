"""RS-VQA HR, remote sensing: aerial tiles with short answers (mmneuron.md 5.3)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "RS-VQA"
DOMAIN = "rs"
SPLITS = ("train", "val", "test")
SOURCE = "https://zenodo.org/records/6344367"
# The archive ships .tif, the released code expects .png.
ENDINGS = (".tif", ".png")
# How often a written file has a stub of a question that belongs to another split.
STUB_EVERY = 10
TYPES = {"exist": "presence"}


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """One question per tile in the official order; the answer is the official answer entry."""
    base.check_split(split, SPLITS, name)
    paths = [root / f"USGS_split_{split}_{part}.json" for part in ("questions", "answers")]
    questions, answers = (base.entries(path, path.stem.rsplit("_", 1)[1], SOURCE) for path in paths)
    # Every file lists all questions; those of other splits are stubs and are dropped before the shuffle.
    active = [question for question in questions if _is_active(question, paths[0])]
    firsts = orders.first_per(enumerate(orders.list_order(active)), lambda question: question["img_id"])

    def pictures(question: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [f"Data/{question['img_id']}{ending}" for ending in ENDINGS])]

    for item in base.found(firsts, pictures, root, limit=limit, name=name):
        answer = _answer(item.row, answers, paths[1])
        yield base.sample(item, name=name, split=split, question=item.row["question"], answer=answer)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as tiles; now and then an inactive stub stands for a question of another split."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    pictures = [base.write_picture(scene.image, root / "Data" / f"{scene.seed}.tif") for scene in scenes]
    questions, answers = [], []
    # Pictures of all splits share one folder, so they are named by seed and not counted per split.
    for scene in scenes:
        for asked in scene.questions:
            if len(questions) % STUB_EVERY == 0:
                stub = {"id": len(questions), "active": False}
                questions.append(stub)
                answers.append(stub)
            number = len(questions)
            head = {"id": number, "date_added": 0.0}
            kind = {"type": TYPES.get(asked.kind, asked.kind), "question": asked.text}
            tail = {"people_id": 0, "active": True}
            questions.append({**head, "img_id": scene.seed, **kind, "answers_ids": [number], **tail})
            answers.append({**head, "question_id": number, "answer": asked.answer, **tail})
    tables = {"questions": questions, "answers": answers}
    return pictures + [
        base.write_json({part: rows}, root / f"USGS_split_{split}_{part}.json") for part, rows in tables.items()
    ]


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question with the request for one word or phrase."""
    return base.styled(sample, style, base.short_answer(sample))


def _is_active(question: Any, path: Path) -> bool:
    base.need(question, ("active",), path, SOURCE)
    if question["active"]:
        base.need(question, ("img_id", "question", "answers_ids"), path, SOURCE)
    return question["active"]


def _answer(question: dict[str, Any], answers: list[Any], path: Path) -> dict[str, Any]:
    """The first answer of a question; an answer's number is its place in the list."""
    number = next(iter(question["answers_ids"]), None)
    if number is None or not 0 <= number < len(answers):
        raise base.damaged(path, f"there is no answer {number} for question {question.get('id')}", SOURCE)
    base.need(answers[number], ("answer",), path, SOURCE)
    return answers[number]
