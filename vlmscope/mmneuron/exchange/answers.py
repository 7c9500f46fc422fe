"""Answer files of the released code: a list of tables `ground_truth`, `index`, `answer` (mmneuron.md 2.5).

LLaVA's answer is a list of one text, InstructBLIP's a text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron.exchange import names
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.samples import Sample
from vlmscope.store import torch_files

FIELDS = ("ground_truth", "index", "answer")


def read(path: str | Path, condition: str, samples: Sequence[Sample]) -> pl.DataFrame:
    """Answers of one condition, in the order of the file (see `schemas.ANSWERS`); how many tokens is not known.

    samples   the split that was answered: index and correct answer must agree with the file's
    """
    known = {sample.index: sample for sample in samples}
    rows = [_row(one, condition, known, path) for one in _list(path)]
    if len({row["sample"] for row in rows}) < len(rows):
        raise _unfit(path, "it answers a question twice")
    return pl.DataFrame(rows, schema=ANSWERS)


def _list(path: str | Path) -> list[dict[str, Any]]:
    found = torch_files.read(path)
    whole = isinstance(found, list) and all(isinstance(one, dict) and set(one) == set(FIELDS) for one in found)
    if not whole:
        raise _unfit(path, f"it is no list of tables with {', '.join(FIELDS)}")
    return found


def _row(one: Mapping[str, Any], condition: str, known: Mapping[int, Sample], path: str | Path) -> dict[str, Any]:
    said = one["answer"][0] if isinstance(one["answer"], list) and len(one["answer"]) == 1 else one["answer"]
    if not isinstance(said, str):
        raise _unfit(path, f"the answer to question {one['index']!r} is no text")
    sample = known.get(one["index"]) if isinstance(one["index"], int) else None
    if sample is None:
        raise _unfit(path, f"it answers question {one['index']!r}, which the split does not have")
    if json.loads(sample.answer) != one["ground_truth"]:
        raise _unfit(path, f"question {one['index']} has another correct answer there")
    keys = {"condition": condition, "sample": sample.sample, "group": sample.group}
    return keys | {"prediction": said, "tokens": None}


def _unfit(path: str | Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The answers do not fit: {why}.",
        where=str(path),
        instead="answers of the released code to the same split in full (datasets.*.limit)",
    )


def write(answers: pl.DataFrame, samples: Sequence[Sample], family: str, target: str | Path) -> None:
    """Answers of one condition as the released code saves them."""
    known = {sample.sample: sample for sample in samples}
    rows = [
        {
            "ground_truth": json.loads(known[row["sample"]].answer),
            "index": known[row["sample"]].index,
            "answer": [row["prediction"]] if names.flag(family) == "llava" else row["prediction"],
        }
        for row in answers.iter_rows(named=True)
    ]
    torch_files.write(rows, target)


def from_files(paths: Sequence[str], conditions: Iterable[str], samples: Sequence[Sample]) -> pl.DataFrame:
    """Answers under several conditions, as one table."""
    return pl.concat([read(path, name, samples) for path, name in zip(paths, conditions, strict=True)])
