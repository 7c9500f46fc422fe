"""Scores of answers by each benchmark's own metrics (mmneuron.md 6)."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from vlmscope.metrics import judge, vqa
from vlmscope.mmneuron.schemas import SCORES
from vlmscope.samples import Sample

STAND_IN = "token_f1_stand_in"
Rows = list[dict[str, Any]]


def metric_of(kind: str, settings: dict[str, Any]) -> str:
    """The metric that a benchmark contributes to the tables.

    settings   the section mmneuron.evaluate
    """
    free = STAND_IN if settings["judge"] == "token_f1" else settings["judge"]
    return {
        "lingoqa": free,
        "pmc_vqa": settings["med_metric"],
        "rsvqa": "exact",
        "vqav2": settings["com_metric"],
        "docvqa": "anls",
    }[kind]


def scores(
    kind: str,
    samples: Sequence[Sample],
    answers: pl.DataFrame,
    *,
    anls_threshold: float,
    lingo: judge.LingoJudge | None = None,
) -> pl.DataFrame:
    """One row per condition, question and metric, every metric of the benchmark side by side.

    samples   all rows of the split, those that only carry further references included
    answers   see `schemas.ANSWERS`
    lingo     a real judge; without it the stand-in scores free answers and is named so
    """
    given: dict[str, list[Sample]] = {}
    for sample in samples:
        given.setdefault(sample.group, []).append(sample)
    if kind == "lingoqa":
        return _judged(given, answers, lingo)
    score = _scorers(anls_threshold)[kind]
    rows = [
        {"condition": row["condition"], "group": row["group"], "metric": metric, "score": value}
        for row in answers.iter_rows(named=True)
        for metric, value in score(row["prediction"], given[row["group"]][0]).items()
    ]
    return pl.DataFrame(rows, schema=SCORES)


def _scorers(anls_threshold: float) -> dict[str, Callable[[str, Sample], dict[str, float]]]:
    def medical(said: str, sample: Sample) -> dict[str, float]:
        label = json.loads(sample.answer)
        return {
            "first_option": vqa.first_option(said, label, sample.choices),
            "official_any": vqa.official_any(said, label),
        }

    def remote(said: str, sample: Sample) -> dict[str, float]:
        return {"exact": vqa.exact_match(said, json.loads(sample.answer)["answer"])}

    def common(said: str, sample: Sample) -> dict[str, float]:
        given = json.loads(sample.answer)
        return {"com_exact": vqa.com_exact(said, given), "vqa_acc": vqa.vqa_acc(said, given)}

    def document(said: str, sample: Sample) -> dict[str, float]:
        given = json.loads(sample.answer)
        return {"anls": vqa.anls(said, given, anls_threshold), "anls_challenge": vqa.anls(said, given, 0.5)}

    return {"pmc_vqa": medical, "rsvqa": remote, "vqav2": common, "docvqa": document}


def _judged(given: dict[str, list[Sample]], answers: pl.DataFrame, lingo: judge.LingoJudge | None) -> pl.DataFrame:
    """Free answers against every reference of their question; right when any of them agrees."""
    pairs = [
        (row["condition"], sample, row["prediction"])
        for row in answers.iter_rows(named=True)
        for sample in given[row["group"]]
    ]
    questions = [sample.question for _, sample, _ in pairs]
    references = [json.loads(sample.answer) for _, sample, _ in pairs]
    predictions = [said for *_, said in pairs]
    if lingo is None:
        right = [judge.token_f1(*pair) for pair in zip(predictions, references, strict=True)]
    else:
        right = lingo.right(questions, references, predictions)
    keys = [(condition, sample.group) for condition, sample, _ in pairs]
    best: dict[tuple[str, str], bool] = {}
    for key, agrees in zip(keys, right, strict=True):
        best[key] = best.get(key, False) or bool(agrees)
    metric = STAND_IN if lingo is None else "lingo-judge"
    rows: Rows = [
        {"condition": condition, "group": group, "metric": metric, "score": float(agrees)}
        for (condition, group), agrees in best.items()
    ]
    return pl.DataFrame(rows, schema=SCORES)
