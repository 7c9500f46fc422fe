"""Scores of answers by each benchmark's own metrics (mmneuron.md 6)."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.metrics import judge as judges
from vlmscope.metrics import vqa
from vlmscope.mmneuron.metrics import JUDGED, STAND_IN
from vlmscope.mmneuron.schemas import ANSWERS, SCORES
from vlmscope.samples import Sample, read
from vlmscope.store import tables

Rows = list[dict[str, Any]]


def scores(
    kind: str,
    samples: Sequence[Sample],
    answers: pl.DataFrame,
    *,
    anls_threshold: float,
    lingo: judges.LingoJudge | None = None,
    official_rows: bool = False,
) -> pl.DataFrame:
    """One row per condition, question and metric, every metric of the benchmark side by side.

    samples   all rows of the split, those that only carry further references included
    answers   see `schemas.ANSWERS`
    lingo     a real judge; without it the stand-in scores free answers and is named so
    official_rows   judge a free answer by the reference of its own row alone, not by all of its question
    """
    given: dict[str, list[Sample]] = {}
    for sample in samples:
        given.setdefault(sample.group, []).append(sample)
    if kind == "lingoqa":
        return _judged(given, answers, lingo, official_rows)
    score = SCORERS[kind]
    rows = [
        {"condition": row["condition"], "group": row["group"], "metric": metric, "score": value}
        for row in answers.iter_rows(named=True)
        for metric, value in score(row["prediction"], given[row["group"]][0], anls_threshold).items()
    ]
    return pl.DataFrame(rows, schema=SCORES)


def _medical(said: str, sample: Sample, cut: float) -> dict[str, float]:
    label = json.loads(sample.answer)
    return {
        "first_option": vqa.first_option(said, label, sample.choices),
        "official_any": vqa.official_any(said, label),
    }


def _remote(said: str, sample: Sample, cut: float) -> dict[str, float]:
    # The official answer is a whole record; its label is what the answer is compared with.
    return {"exact": vqa.exact_match(said, json.loads(sample.answer)["answer"])}


def _common(said: str, sample: Sample, cut: float) -> dict[str, float]:
    given = json.loads(sample.answer)
    return {"com_exact": vqa.com_exact(said, given), "vqa_acc": vqa.vqa_acc(said, given)}


def _document(said: str, sample: Sample, cut: float) -> dict[str, float]:
    given = json.loads(sample.answer)
    return {"anls": vqa.anls(said, given, cut), "anls_challenge": vqa.anls(said, given, 0.5)}


SCORERS: dict[str, Callable[[str, Sample, float], dict[str, float]]] = {
    "pmc_vqa": _medical,
    "rsvqa": _remote,
    "vqav2": _common,
    "docvqa": _document,
}


def _judged(
    given: dict[str, list[Sample]], answers: pl.DataFrame, lingo: judges.LingoJudge | None, official_rows: bool
) -> pl.DataFrame:
    """Free answers against every reference of their question; right when any of them agrees."""
    pairs = [
        (row["condition"], sample, row["prediction"])
        for row in answers.iter_rows(named=True)
        for sample in given[row["group"]]
        if not official_rows or sample.sample == row["sample"]
    ]
    questions = [sample.question for _, sample, _ in pairs]
    references = [json.loads(sample.answer) for _, sample, _ in pairs]
    predictions = [said for *_, said in pairs]
    if lingo is None:
        right = [judges.token_f1(*pair) for pair in zip(predictions, references, strict=True)]
    else:
        right = lingo.right(questions, references, predictions)
    keys = [(condition, sample.group) for condition, sample, _ in pairs]
    metric = STAND_IN if lingo is None else JUDGED
    rows: Rows = [
        {"condition": condition, "group": group, "metric": metric, "score": float(agrees)}
        for (condition, group), agrees in judges.any_right(keys, right).items()
    ]
    return pl.DataFrame(rows, schema=SCORES)


def real_judge(inputs: Sequence[str]) -> judges.LingoJudge | None:
    """The real judge where its checkpoint is among the inputs; else the stand-in scores."""
    if not inputs:
        return None
    folder = Path(inputs[0]).parent
    return judges.LingoJudge(folder / "hub" if inputs[0].endswith("hub.json") else folder)


def from_files(
    samples: Sequence[str],
    answers: Sequence[str],
    kinds: Mapping[str, str],
    judge_files: Sequence[str],
    *,
    domains: Sequence[str],
    anls_threshold: float,
    official_rows: bool,
) -> pl.DataFrame:
    """Scores of one part (untouched or masked) of all domains."""
    lingo = real_judge(judge_files)
    parts = []
    for domain, table_path, answer_path in zip(domains, samples, answers, strict=True):
        frame = tables.read(answer_path, ANSWERS)
        rules = {"anls_threshold": anls_threshold, "lingo": lingo, "official_rows": official_rows}
        one = scores(kinds[domain], read(table_path), frame, **rules)
        parts.append(one.select(pl.lit(domain).alias("domain"), pl.all()))
    return pl.concat(parts)
