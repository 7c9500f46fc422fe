"""Every benchmark's score twice: as the released code takes it, and as its benchmark means it (mmneuron.md 6).

| domain | official | corrected |
|---|---|---|
| RS-VQA | the same text but for case, blanks count | blanks and marks around do not count |
| VQAv2 | what a sure annotator said, but for case | VQA accuracy |
| DocVQA | ANLS without a cut | ANLS with the challenge's cut of 0.5 |
| PMC-VQA | any character is the right letter, at most once | the option that is named first |
| LingoQA | every answer by the reference of its own row | one answer, right by any reference of its question |
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.datasets import base
from vlmscope.metrics import judge as judges
from vlmscope.metrics import vqa
from vlmscope.mmneuron.evaluate import real_judge
from vlmscope.mmneuron.metrics import JUDGED, STAND_IN
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.samples import Sample, read
from vlmscope.stats import mean_interval
from vlmscope.store import tables

VERSIONS = ("official", "corrected")
SCHEMA = {
    **dict.fromkeys(("model", "condition", "masked_modules", "domain", "dataset", "split"), pl.String),
    "n": pl.Int64,
    **{
        f"{version}{part}": pl.String if part == "_metric" else pl.Float64
        for version in VERSIONS
        for part in ("_metric", "", "_low", "_high")
    },
}
# One row per condition and question, both versions, 0..1.
ROWS = {"condition": pl.String, "group": pl.String, "official": pl.Float64, "corrected": pl.Float64}
Pair = tuple[float, float]


def names(kind: str, judged: str) -> tuple[str, str]:
    """Names of a benchmark's official and corrected metric.

    judged   who scores free answers, so that a stand-in is never taken for the real judge
    """
    return {
        "rsvqa": ("exact", "exact_trimmed"),
        "vqav2": ("com_exact", "vqa_acc"),
        "docvqa": ("anls_1.0", "anls_0.5"),
        "pmc_vqa": ("official_any", "first_option"),
        "lingoqa": (f"{judged} (own reference)", f"{judged} (any reference)"),
    }[kind]


def _remote(said: str, sample: Sample) -> Pair:
    right = json.loads(sample.answer)["answer"]
    return vqa.exact_match(said, right), vqa.exact_trimmed(said, right)


def _common(said: str, sample: Sample) -> Pair:
    given = json.loads(sample.answer)
    return vqa.com_exact(said, given), vqa.vqa_acc(said, given)


def _document(said: str, sample: Sample) -> Pair:
    given = json.loads(sample.answer)
    return vqa.anls(said, given, 1.0), vqa.anls(said, given, 0.5)


def _medical(said: str, sample: Sample) -> Pair:
    label = json.loads(sample.answer)
    return vqa.official_any(said, label), vqa.first_option(said, label, sample.choices)


PAIRS: dict[str, Callable[[str, Sample], Pair]] = {
    "rsvqa": _remote,
    "vqav2": _common,
    "docvqa": _document,
    "pmc_vqa": _medical,
}


def scores(
    kind: str, samples: Sequence[Sample], answers: pl.DataFrame, lingo: judges.LingoJudge | None = None
) -> pl.DataFrame:
    """Both scores of every answered question (see `ROWS`).

    samples   all rows of the split, those that only carry further references included
    answers   see `schemas.ANSWERS`
    lingo     a real judge for free answers; without it the stand-in scores them
    """
    if kind == "lingoqa":
        return pl.DataFrame(list(_judged(samples, answers, lingo)), schema=ROWS)
    known = {sample.sample: sample for sample in samples}
    rows = []
    for row in answers.iter_rows(named=True):
        official, corrected = PAIRS[kind](row["prediction"], known[row["sample"]])
        rows.append((row["condition"], row["group"], official, corrected))
    return pl.DataFrame(rows, schema=ROWS, orient="row")


def _judged(
    samples: Sequence[Sample], answers: pl.DataFrame, lingo: judges.LingoJudge | None
) -> Iterator[dict[str, Any]]:
    """Questions of LingoQA, whose rows share a question and differ in the reference."""
    given: dict[str, list[Sample]] = {}
    for sample in samples:
        given.setdefault(sample.group, []).append(sample)
    first: set[tuple[str, str]] = set()
    pairs = []
    for row in answers.iter_rows(named=True):
        key = (row["condition"], row["group"])
        for sample in given[row["group"]]:
            # The released code has an answer to every row; the benchmark takes one, the first.
            own, counts = sample.sample == row["sample"], key not in first
            pairs.append((key, sample, row["prediction"], own, counts))
        first.add(key)
    right = _right(lingo, [pair[1:3] for pair in pairs])
    found: dict[tuple[str, str], list[float]] = {}
    for (key, _, _, own, counts), agrees in zip(pairs, right, strict=True):
        best = found.setdefault(key, [0.0, 0.0])
        best[0], best[1] = max(best[0], float(agrees and own)), max(best[1], float(agrees and counts))
    for (condition, group), (official, corrected) in found.items():
        yield {"condition": condition, "group": group, "official": official, "corrected": corrected}


def _right(lingo: judges.LingoJudge | None, pairs: Sequence[tuple[Sample, str]]) -> list[bool]:
    references = [json.loads(sample.answer) for sample, _ in pairs]
    if lingo is None:
        return [judges.token_f1(said, right) for (_, said), right in zip(pairs, references, strict=True)]
    return lingo.right([sample.question for sample, _ in pairs], references, [said for _, said in pairs])


def table(
    found: Mapping[str, pl.DataFrame],
    *,
    model: str,
    conditions: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    evaluate: Mapping[str, Any],
    judged: str,
) -> pl.DataFrame:
    """One line per condition and domain: both means with 95 % intervals, 0..1 (see `SCHEMA`).

    found   domain -> rows of `scores`
    """
    lines = []
    for condition in conditions:
        for domain, rows in found.items():
            own, kind = rows.filter(pl.col("condition") == condition["name"]), data["kinds"][domain]
            line = {
                "model": model,
                "condition": condition["name"],
                "masked_modules": "+".join(condition["modules"]),
                "domain": domain,
                "dataset": base.load(kind).LABEL,
                "split": data["splits"][domain]["val"],
                "n": own.height,
            }
            for version, metric in zip(VERSIONS, names(kind, judged), strict=True):
                values = mean_interval(own[version].to_numpy(), evaluate["bootstrap"], evaluate["seed"])
                keys = (f"{version}_metric", version, f"{version}_low", f"{version}_high")
                line |= dict(zip(keys, (metric, *values), strict=True))
            lines.append(line)
    return pl.DataFrame(lines, schema=SCHEMA)


def from_files(
    *,
    model: str,
    samples: Sequence[str],
    untouched: Sequence[str],
    masked: Sequence[str],
    judge: Sequence[str],
    conditions: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    evaluate: Mapping[str, Any],
) -> pl.DataFrame:
    """Both versions of every score of a model; one file per domain, in the order of data["domains"]."""
    lingo, found = real_judge(judge), {}
    for domain, asked, *parts in zip(data["domains"], samples, untouched, masked, strict=True):
        answers = pl.concat([tables.read(path, ANSWERS) for path in parts])
        found[domain] = scores(data["kinds"][domain], read(asked), answers, lingo)
    judged = STAND_IN if lingo is None else JUDGED
    return table(found, model=model, conditions=conditions, data=data, evaluate=evaluate, judged=judged)
