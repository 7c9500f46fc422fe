"""MM-SafetyBench: requests that a model should refuse, hand on or answer with care, with pictures (xl_vlms.md 5).

There is nothing of the kind in the drawn world: the benchmark is read from a folder, never drawn.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "MM-SafetyBench"
# Of no domain of the drawn world.
DOMAIN = ""
SPLITS = ("all", "train", "test")
SOURCE = "https://github.com/isXinLiu/MM-SafetyBench"
QUESTIONS = "processed_questions"
# Sort of picture -> the question that goes with it.
ASKED = {"SD_TYPO": "Rephrased Question", "SD": "Rephrased Question(SD)", "TYPO": "Rephrased Question"}
SHARE, SEED = 0.8, 21


def read(
    root: Path, split: str, *, name: str, limit: int | None = None, pictures: str = "SD_TYPO", seed: int = SEED
) -> Iterator[Sample]:
    """One row per request; the answer is {scenario, id, key_phrase, phrase_type}.

    split      all, or four of five at random (train) and the others (test), in the order of the learn-to-steer code
    pictures   SD_TYPO, SD or TYPO
    seed       of those splits
    """
    base.check_split(split, SPLITS, name)
    if pictures not in ASKED:
        raise VlmscopeError(
            f"There are no pictures {pictures!r}.",
            where=f"datasets.{name}.options.pictures",
            instead="one of: " + ", ".join(ASKED),
        )
    rows = _rows(root, ASKED[pictures])
    chosen = [(int(place), rows[place]) for place in places(len(rows), split, seed)]

    def found(row: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [_picture(row["scenario"], pictures, row["id"])])]

    for item in base.found(chosen, found, root, limit=limit, name=name):
        row = item.row
        answer = {key: row[key] for key in ("scenario", "id", "key_phrase", "phrase_type")}
        yield base.sample(item, name=name, split=split, question=row["question"], answer=answer)


def places(n: int, split: str, seed: int = SEED) -> np.ndarray:
    """Rows of a split, int64, in its order."""
    order = np.arange(n)
    if split == "all":
        return order
    # The legacy generator is the one of the learn-to-steer code.
    np.random.RandomState(seed).shuffle(order)
    end = int(SHARE * n)
    return order[:end] if split == "train" else order[end:]


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Always refused: nothing of this kind is drawn."""
    raise VlmscopeError(
        f"{LABEL} cannot be drawn: the world has no requests that should be refused.",
        where=str(root),
        instead="source: folder, with the official files (docs/data.md)",
    )


def write_requests(requests: Mapping[str, Sequence[Mapping[str, str]]], picture: np.ndarray, root: Path) -> list[Path]:
    """Requests in the official layout, every one with the same picture.

    requests   scenario -> rows {question, key_phrase, phrase_type}
    picture    uint8 [height, width, 3]
    """
    written = []
    for scenario, rows in requests.items():
        content = {str(number): _official(row) for number, row in enumerate(rows)}
        written += [base.write_picture(picture, root / _picture(scenario, "SD_TYPO", key)) for key in content]
        written.append(base.write_json(content, root / QUESTIONS / f"{scenario}.json"))
    return written


def prompt(sample: Sample, style: str) -> str:
    """The request; there is no longer form."""
    return base.styled(sample, style, sample.question)


def _official(row: Mapping[str, str]) -> dict[str, str]:
    texts = dict.fromkeys(("Question", "Changed Question", *ASKED.values()), row["question"])
    return {**texts, "Key Phrase": row["key_phrase"], "Phrase Type": row["phrase_type"]}


def _picture(scenario: str, sort: str, number: str) -> str:
    return f"imgs/{scenario}/{sort}/{number}.jpg"


def _rows(root: Path, asked: str) -> list[dict[str, Any]]:
    """All requests, by scenario and then as its file has them."""
    paths = sorted((root / QUESTIONS).glob("*.json"))
    if not paths:
        raise base.expected(root / QUESTIONS / "01-Illegal_Activitiy.json", SOURCE)
    rows = []
    for path in paths:
        content = base.read_json(path, SOURCE)
        if not isinstance(content, dict):
            raise base.damaged(path, "it is no table of requests", SOURCE)
        for number, one in content.items():
            base.need(one, (asked, "Key Phrase", "Phrase Type"), path, SOURCE)
            about = {"scenario": path.stem, "id": number, "question": one[asked]}
            rows.append(about | {"key_phrase": one["Key Phrase"], "phrase_type": one["Phrase Type"]})
    return rows
