"""Both versions of every score: the official one row by row as the released formulas have it (mmneuron.md 11, 6)."""

import json
import random

import polars as pl
import pytest

from vlmscope.datasets import base
from vlmscope.metrics import judge
from vlmscope.mmneuron import metrics, versions
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.samples import Sample, table
from vlmscope.store import tables

CHOICES = (" A:Liver ", " B:Spleen ", " C:Left kidney ", " D:Bone ")
WORDS = (
    "yes",
    "No",
    "A",
    "b",
    "C",
    "D",
    "E",
    "liver",
    "Left kidney",
    "1998",
    "12.5",
    "total",
    "sum",
    ".",
    " ",
    "\n",
    "",
)


def sample(name, answer, *, group=None, choices=(), question="what?"):
    return Sample(name, "d", "val", 0, group or name, ("i",), 1, 1, question, choices, json.dumps(answer))


def said(*rows, condition="none"):
    columns = [(condition, name, group, text, 1) for name, group, text in rows]
    return pl.DataFrame(columns, schema=ANSWERS, orient="row")


def votes(sure="yes", **counts):
    return [{"answer": word, "answer_confidence": sure} for word, count in counts.items() for _ in range(count)]


# ---- the released formulas, one row at a time, as mmneuron.md 6 and 8 state them ----------------------------------


def released_remote(said, truth):
    return truth["answer"].lower() == said.lower()


def released_common(said, truth):
    sure = {one["answer"].lower() for one in truth if one["answer_confidence"] == "yes"}
    return said.lower() in sure


def released_document(said, truth):
    def prepared(text):
        return " ".join(text.strip().lower().split())

    def distance(one, other):
        if not one or not other:
            return len(one) + len(other)
        step = distance(one[1:], other[1:]) + (one[0] != other[0])
        return min(step, distance(one[1:], other) + 1, distance(one, other[1:]) + 1)

    best = 0
    for right in map(prepared, truth):
        longest = max(len(right), len(prepared(said)))
        best = max(best, 1 - distance(prepared(said), right) / longest if longest else 1)
    return best


def released_medical(said, truth):
    """One per matching character; ours counts an answer at most once."""
    return min(1, sum(letter in "ABCDE" and letter == truth for letter in said))


RELEASED = {
    "rsvqa": (released_remote, {"answer": "yes", "id": 3}, WORDS),
    "vqav2": (
        released_common,
        [{"answer": word, "answer_confidence": sure} for word in ("yes", "Liver") for sure in ("yes", "no")]
        + [{"answer": "1998", "answer_confidence": "maybe"}],
        WORDS,
    ),
    "docvqa": (released_document, ["Sum", "1998", "No  A"], ("no", "a", "su", "m", "19", "8", " ", "\n", "")),
    "pmc_vqa": (released_medical, "C", WORDS),
}


@pytest.mark.parametrize("kind", RELEASED)
def test_official_scores_are_those_of_the_released_code_row_by_row(kind):
    released, truth, words = RELEASED[kind]
    draw = random.Random(7)
    texts = ["".join(draw.choice(words) for _ in range(draw.randint(0, 2))) for _ in range(300)]
    texts = [text[:6] for text in texts] if kind == "docvqa" else texts
    samples = [sample(f"q{n}", truth, choices=CHOICES) for n in range(len(texts))]
    answers = said(*((f"q{n}", f"q{n}", text) for n, text in enumerate(texts)))
    found = versions.scores(kind, samples, answers)
    expected = [float(released(text, truth)) for text in texts]
    assert found["official"].to_list() == pytest.approx(expected)
    assert 0 < sum(expected) < len(expected), "the draw tells right from wrong"


@pytest.mark.parametrize(
    ("kind", "truth", "text", "official", "corrected"),
    [
        ("rsvqa", {"answer": "yes"}, "Yes", 1, 1),
        ("rsvqa", {"answer": "yes"}, " yes.", 0, 1),
        ("rsvqa", {"answer": "yes"}, "yes no", 0, 0),
        # Three sure annotators said red; leaving one of them out leaves two of three: (3 x 2/3 + 7 x 1) / 10.
        ("vqav2", votes(red=3, blue=7), "Red", 1, 0.9),
        ("vqav2", votes("maybe", red=10), "red", 0, 1),
        ("docvqa", ["abcd"], "axyz", 0.25, 0),
        ("docvqa", ["abcd"], "abcx", 0.75, 0.75),
        ("docvqa", ["abcd"], "abxy", 0.5, 0),
        ("pmc_vqa", "C", "B, not C", 1, 0),
        ("pmc_vqa", "C", "left kidney", 0, 1),
    ],
)  # fmt: skip
def test_the_versions_differ_where_they_should(kind, truth, text, official, corrected):
    found = versions.scores(kind, [sample("q", truth, choices=CHOICES)], said(("q", "q", text)))
    assert found.row(0) == ("none", "q", official, pytest.approx(corrected))


def test_a_free_answer_is_held_against_its_own_reference_or_against_any():
    samples = [sample("q-0", "a red car", group="q"), sample("q-1", "nothing", group="q")]
    one = versions.scores("lingoqa", samples, said(("q-0", "q", "nothing")))
    assert one.rows() == [("none", "q", 0.0, 1.0)]


def test_of_two_answers_to_a_question_either_may_be_right_as_released_but_only_the_first_counts():
    samples = [sample("q-0", "a red car", group="q"), sample("q-1", "nothing", group="q")]
    both = said(("q-0", "q", "a dog"), ("q-1", "q", "nothing"))
    assert versions.scores("lingoqa", samples, both).rows() == [("none", "q", 1.0, 0.0)]
    turned = said(("q-0", "q", "nothing"), ("q-1", "q", "a dog"))
    assert versions.scores("lingoqa", samples, turned).rows() == [("none", "q", 0.0, 1.0)]


def test_questions_of_different_conditions_do_not_mix():
    samples = [sample("q-0", "a red car", group="q")]
    answers = pl.concat([said(("q-0", "q", "a dog")), said(("q-0", "q", "a red car"), condition="all")])
    assert versions.scores("lingoqa", samples, answers).rows() == [("none", "q", 0.0, 0.0), ("all", "q", 1.0, 1.0)]


class Judge(judge.LingoJudge):
    """Right are answers that begin like the reference."""

    def right(self, questions, references, predictions):
        return [said[:1] == right[:1] for said, right in zip(predictions, references, strict=True)]


def test_a_real_judge_takes_the_place_of_the_stand_in():
    samples = [sample("q-0", "a red car", group="q")]
    answers = said(("q-0", "q", "anything"))
    assert versions.scores("lingoqa", samples, answers, Judge("x"))["official"].to_list() == [1.0]
    assert versions.names("lingoqa", "lingo-judge")[0].startswith("lingo-judge")


def files_of(tmp_path, rows):
    asked, answered = [], []
    for domain, (samples, answers) in rows.items():
        for part, condition in (("none", "none"), ("masked", "all")):
            answers = answers.with_columns(condition=pl.lit(condition))
            tables.write(answers, tmp_path / domain / f"{part}.parquet", ANSWERS)
        asked.append(str(tmp_path / domain / "val.parquet"))
        tables.write(table(samples), asked[-1], table(samples).schema)
        answered.append([str(tmp_path / domain / f"{part}.parquet") for part in ("none", "masked")])
    return asked, *map(list, zip(*answered, strict=True))


def test_the_table_has_a_line_per_condition_and_domain_with_intervals(tmp_path):
    rows = {
        "rs": (
            [sample(f"q{n}", {"answer": "yes"}) for n in range(4)],
            said(*((f"q{n}", f"q{n}", "yes") for n in range(4))),
        ),
        "ad": ([sample("q", "a red car")], said(("q", "q", "a red car"))),
    }
    asked, untouched, masked = files_of(tmp_path, rows)
    kinds = {"rs": "rsvqa", "ad": "lingoqa"}
    found = versions.from_files(
        model="llava",
        samples=asked,
        untouched=untouched,
        masked=masked,
        judge=[],
        conditions=[{"name": "none", "modules": []}, {"name": "all", "modules": ["lang", "vision"]}],
        data={"domains": ["rs", "ad"], "kinds": kinds, "splits": {name: {"val": "val"} for name in kinds}},
        evaluate={"bootstrap": 50, "seed": 0},
    )
    assert found.schema == pl.Schema(versions.SCHEMA)
    assert found.select("condition", "domain").rows() == [("none", "rs"), ("none", "ad"), ("all", "rs"), ("all", "ad")]
    first = found.row(0, named=True)
    assert (first["n"], first["official"], first["official_high"]) == (4, 1.0, 1.0)
    assert 0.5 < first["official_low"] < 0.52, "Wilson interval of four of four"
    assert found["official_metric"].to_list()[1] == "token_f1_stand_in (own reference)"
    assert found["masked_modules"].to_list()[2:] == ["lang+vision"] * 2


def test_every_benchmark_has_two_versions():
    assert {kind: len(versions.names(kind, "j")) for kind in metrics.KINDS} == dict.fromkeys(metrics.KINDS, 2)
    assert set(metrics.KINDS) == {"lingoqa", *versions.PAIRS} <= set(base.kinds())
