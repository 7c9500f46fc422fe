"""POPE under learned steering: accuracy and F1 by subset, beside the published numbers (xl_vlms.md 2.11)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.samples import Sample, read
from vlmscope.store import tables
from vlmscope.xl_vlms.learned.vectors import ANSWERS

SUBSETS = ("random", "popular", "adversarial")
# All questions together, which nobody publishes.
ALL = "all"
# Where the released code looks for the answer.
CHARACTERS = 15
# Shares in per cent with 95 % intervals; p: exact McNemar test against no steering; f1_as_official: 2a / (1 + a).
TABLE = {
    "model": pl.String,
    "subset": pl.String,
    "method": pl.String,
    "alpha": pl.Float64,
    "seed": pl.Int64,
    "n": pl.Int64,
    "accuracy_pct": pl.Float64,
    "accuracy_low": pl.Float64,
    "accuracy_high": pl.Float64,
    "p": pl.Float64,
    "f1_as_official_pct": pl.Float64,
    "f1_pct": pl.Float64,
    "yes_pct": pl.Float64,
    "published_accuracy_pct": pl.Float64,
    "published_f1_pct": pl.Float64,
    "source": pl.String,
}
SOURCE = "arXiv 2508.12815, LLaVA-1.5-7B, at second hand"
_ORDER = ("none", "prompt", "random", "mean", "learned", "p2s")
# Per cent; numbers of a subset in the order above.
_ACCURACY = {
    "random": (82.73, 84.91, 82.38, 84.29, 86.46, 89.26),
    "popular": (80.40, 83.35, 80.36, 82.11, 82.58, 88.64),
    "adversarial": (76.82, 76.36, 75.77, 76.36, 77.76, 82.58),
}
_F1 = {"random": (90.55, 91.84, 90.34, 91.47, 92.74, 94.33)}


def right(prediction: str, answer: str) -> bool:
    """Whether the answer stands in the first 15 characters, in any case; also as part of a word, as released."""
    return answer in prediction[:CHARACTERS].lower()


def f1_as_official(accuracy: float) -> float:
    """The released F1, which holds every question to be a case: 2a / (1 + a)."""
    return 2 * accuracy / (1 + accuracy)


def f1(predictions: Sequence[str], answers: Sequence[str]) -> float:
    """F1 of yes, which the released code does not have; 0 where neither side says it [differs: xl_vlms.md 8 #29]."""
    said = np.array([right(one, "yes") for one in predictions], dtype=bool)
    meant = np.array([one == "yes" for one in answers], dtype=bool)
    both, either = (said & meant).sum(), said.sum() + meant.sum()
    return float(2 * both / either) if either else 0.0


def members(samples: Sequence[Sample], subset: str) -> list[int]:
    """Rows of a subset: every question that is to be answered yes, and its own others."""
    known = [json.loads(one.answer) for one in samples]
    return [row for row, one in enumerate(known) if one["answer"] == "yes" or subset in (ALL, one["subset"])]


def table(answers: pl.DataFrame, samples: Sequence[Sample], about: Mapping[str, Any]) -> pl.DataFrame:
    """`TABLE`, every method and strength of every subset.

    answers   `ANSWERS`
    about     model, family, seed
    """
    told = {one.sample: json.loads(one.answer)["answer"] for one in samples}
    parts = answers.partition_by("method", "alpha", as_dict=True, maintain_order=True)
    said = {
        key: dict(zip(part["sample"].to_list(), part["prediction"].to_list(), strict=True))
        for key, part in parts.items()
    }
    rows = []
    for subset in (*SUBSETS, ALL):
        names = [samples[row].sample for row in members(samples, subset)]
        rows += list(_rows(said, names, [told[name] for name in names], {**about, "subset": subset}))
    return pl.DataFrame(rows, schema=TABLE)


def _rows(
    said: Mapping[tuple[Any, ...], Mapping[str, str]],
    names: Sequence[str],
    answers: Sequence[str],
    about: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    before = np.zeros(len(names))
    for (method, alpha), found in said.items():
        predictions = [found[name] for name in names]
        correct = np.array([right(*pair) for pair in zip(predictions, answers, strict=True)], dtype=np.float64)
        before = correct if method == "none" else before
        mean, low, high = stats.mean_interval(correct, 0, 0)
        yield {
            **{key: about[key] for key in ("model", "subset", "seed")},
            **{"method": method, "alpha": alpha, "n": len(names)},
            **{"accuracy_pct": 100 * mean, "accuracy_low": 100 * low, "accuracy_high": 100 * high},
            "p": stats.mcnemar(int((before > correct).sum()), int((correct > before).sum())),
            "f1_as_official_pct": 100 * f1_as_official(mean),
            "f1_pct": 100 * f1(predictions, answers),
            "yes_pct": 100 * float(np.mean([right(one, "yes") for one in predictions])),
            **_published(about["family"], about["subset"], method),
        }


def _published(family: str, subset: str, method: str) -> dict[str, Any]:
    """What the paper has of this row; of LLaVA alone."""
    if family != "llava" or method not in _ORDER or subset == ALL:
        return dict.fromkeys(("published_accuracy_pct", "published_f1_pct", "source"))
    place = _ORDER.index(method)
    own = {"published_accuracy_pct": _ACCURACY[subset][place], "source": SOURCE}
    return own | {"published_f1_pct": _F1[subset][place] if subset in _F1 else None}


def from_files(*, answers: str, samples: str, about: Mapping[str, Any]) -> pl.DataFrame:
    """The table of a model's answers."""
    found = tables.read(answers, ANSWERS)
    there = set(found["sample"].to_list())
    return table(found, [one for one in read(samples) if one.sample in there], about)
