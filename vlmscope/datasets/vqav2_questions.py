"""VQAv2, every question of a photograph, in the order of the annotations (xl_vlms.md 5).

`vqav2` takes one question per photograph in another order (mmneuron.md 5.4); the official files are the same.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmscope import selection
from vlmscope.datasets import base, vqav2
from vlmscope.samples import Sample
from vlmscope.world.canvas import PAINTS
from vlmscope.world.objects import EVERYDAY
from vlmscope.world.scene import Scene
from vlmscope.world.words import SIDES

LABEL = "VQAv2, all questions"
DOMAIN = "com"
SPLITS = vqav2.SPLITS
SOURCE = vqav2.SOURCE
SHORT = "Answer the question using a single word or phrase."
NEEDED = ("question_id", "image_id", "question_type", "answer_type", "multiple_choice_answer", "answers")
# How many of ten annotators say something else, by the last digit of the question's number.
DISSENT = (0, 0, 0, 0, 0, 1, 1, 1, 2, 3)
# Answers that can stand for each other when somebody errs.
KINDS = (("yes", "no"), ("1", "2", "3"), PAINTS, SIDES, ("park", "room", "beach"), tuple(EVERYDAY))


def read(
    root: Path,
    split: str,
    *,
    name: str,
    limit: int | None = None,
    subset: int = 0,
    seed: int = 0,
    has: str = "",
    match: str = "exact",
    answer_type: str = "",
    ids: str = "",
    ask: str = "",
) -> Iterator[Sample]:
    """One row per question; the answer is {answers, choice, answer_type, question_type, question_id}.

    subset, seed  the released code's random subset of that size, in its order; 0 takes all in the order of the file
    has, match    keep questions whose usual answer is one of these, after the subset (`selection.matcher`)
    answer_type   keep only yes/no, number or other
    ids           file with names of pictures to keep (`selection.stems`)
    ask           words before the question
    """
    base.check_split(split, SPLITS, name)
    path = root / f"v2_mscoco_{split}2014_annotations.json"
    rows = base.entries(path, "annotations", SOURCE, _thin)
    for one in rows:
        base.need(one, NEEDED, path, SOURCE)
    asked = _questions(root, split)
    numbered = [(int(place), rows[place]) for place in selection.subset(len(rows), subset, seed)]
    if has:
        fits = selection.matcher(selection.listed(has), match)
        numbered = [one for one in numbered if fits(one[1]["multiple_choice_answer"])]
    if answer_type:
        numbered = [one for one in numbered if one[1]["answer_type"] == answer_type]
    if ids:
        wanted = selection.stems(ids)
        numbered = [one for one in numbered if selection.stem(_picture(split, one[1])) in wanted]

    def pictures(row: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [_picture(split, row)])]

    for item in base.found(numbered, pictures, root, limit=limit, name=name):
        row = item.row
        if row["question_id"] not in asked:
            raise base.damaged(path, f"question {row['question_id']} is not among the questions", SOURCE)
        question = f"{ask}{asked[row['question_id']]}"
        yield base.sample(item, name=name, split=split, question=question, answer=_answer(row))


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes with all their questions; ten people answer, and some of them err."""
    base.check_split(split, SPLITS, LABEL)
    paths = vqav2.write(scenes, root, split)
    path = root / f"v2_mscoco_{split}2014_annotations.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"] = [_disputed(one) for one in content["annotations"]]
    base.write_json(content, path)
    return paths


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question with the request for one word or phrase."""
    return base.styled(sample, style, f"{sample.question.strip()}\n{SHORT}")


def _thin(entry: dict[str, Any]) -> Any:
    """Answers as texts while the file is parsed: the training annotations are 4.4 million of them."""
    return entry["answer"] if "answer_confidence" in entry and "answer" in entry else entry


def _questions(root: Path, split: str) -> dict[int, str]:
    path = root / f"v2_OpenEnded_mscoco_{split}2014_questions.json"
    questions = base.entries(path, "questions", SOURCE)
    for one in questions:
        base.need(one, ("question_id", "question"), path, SOURCE)
    return {one["question_id"]: one["question"].strip() for one in questions}


def _picture(split: str, row: dict[str, Any]) -> str:
    return f"{split}2014/COCO_{split}2014_{row['image_id']:012d}.jpg"


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("answers", "answer_type", "question_type", "question_id")}
    return {**kept, "choice": row["multiple_choice_answer"].strip()}


def _disputed(annotation: dict[str, Any]) -> dict[str, Any]:
    """The annotation with as many other answers as `DISSENT` says, by the last annotators."""
    number, true = annotation["question_id"], annotation["multiple_choice_answer"]
    kind = next(one for one in KINDS if true in one)
    others = [one for one in kind if one != true]
    told = []
    for place, one in enumerate(annotation["answers"]):
        errs = place >= len(annotation["answers"]) - DISSENT[_digit(number)]
        told.append({**one, "answer": others[(number + place) % len(others)] if errs else true})
    return {**annotation, "answers": told}


def _digit(number: int) -> int:
    """A digit that differs from question to question of a picture and from picture to picture."""
    return (number // 1000 * 7 + number % 1000 * 3) % 10
