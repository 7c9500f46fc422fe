"""Scores per benchmark from hand-made answers, expected values written down by hand."""

import json

import polars as pl
import pytest

from vlmscope.mmneuron import evaluate
from vlmscope.mmneuron.metrics import metric_of
from vlmscope.mmneuron.schemas import ANSWERS, DOMAIN_SCORES, SCORES
from vlmscope.samples import SCHEMA, Sample, table
from vlmscope.store import tables

SETTINGS = {"judge": "token_f1", "med_metric": "first_option", "com_metric": "com_exact", "anls_threshold": 1.0}


def sample(name, answer, *, group=None, choices=()):
    return Sample(name, "d", "val", 0, group or name, ("i",), 1, 1, "what?", choices, json.dumps(answer))


def said(*rows, condition="none"):
    columns = [(condition, name, group, text, 1) for name, group, text in rows]
    return pl.DataFrame(columns, schema=ANSWERS, orient="row")


def scored(kind, samples, answers, **more):
    found = evaluate.scores(kind, samples, answers, **{"anls_threshold": 1.0, **more})
    assert found.schema == pl.Schema(SCHEMA_OF_SCORES)
    return {(row["condition"], row["group"], row["metric"]): row["score"] for row in found.iter_rows(named=True)}


SCHEMA_OF_SCORES = SCORES
VOTES = [{"answer": "red", "answer_confidence": "yes"}] * 3 + [{"answer": "Blue", "answer_confidence": "maybe"}] * 7
CHOICES = (" A:Liver ", " B:Spleen ", " C:Left kidney ", " D:Bone ")


@pytest.mark.parametrize(
    ("kind", "answer", "choices", "text", "expected"),
    [
        ("rsvqa", {"answer": "yes"}, (), "Yes", {"exact": 1}),
        ("rsvqa", {"answer": "yes"}, (), "yes.", {"exact": 0}),
        # Three sure annotators said red; leaving one of them out leaves two of three: (3 x 2/3 + 7 x 1) / 10.
        ("vqav2", VOTES, (), "Red", {"com_exact": 1, "vqa_acc": 0.9}),
        ("vqav2", VOTES, (), "green", {"com_exact": 0, "vqa_acc": 0}),
        ("pmc_vqa", "C", CHOICES, "C", {"first_option": 1, "official_any": 1}),
        ("pmc_vqa", "C", CHOICES, "B, not C", {"first_option": 0, "official_any": 1}),
        ("pmc_vqa", "C", CHOICES, "left kidney", {"first_option": 1, "official_any": 0}),
        ("pmc_vqa", "C", CHOICES, "", {"first_option": 0, "official_any": 0}),
        # One letter of four is wrong.
        ("docvqa", ["1996", "96"], (), "1998", {"anls": 0.75, "anls_challenge": 0.75}),
        # Three of four are wrong: beyond the challenge's cut.
        ("docvqa", ["abcd"], (), "axyz", {"anls": 0.25, "anls_challenge": 0}),
        ("docvqa", ["Total  Sum"], (), " total sum", {"anls": 1, "anls_challenge": 1}),
    ],
)
def test_each_benchmark_has_its_own_metrics(kind, answer, choices, text, expected):
    found = scored(kind, [sample("q", answer, choices=choices)], said(("q", "q", text)))
    assert found == pytest.approx({("none", "q", metric): value for metric, value in expected.items()})


def test_the_anls_cut_is_the_configured_one():
    question = [sample("q", ["abcd"])]
    assert scored("docvqa", question, said(("q", "q", "axyd")), anls_threshold=0.4)["none", "q", "anls"] == 0
    assert scored("docvqa", question, said(("q", "q", "axyd")), anls_threshold=0.6)["none", "q", "anls"] == 0.5


TWO = [sample("q-0", "A red light.", group="q"), sample("q-1", "Slow down", group="q")]


@pytest.mark.parametrize(("text", "right"), [("a red light", 1), ("slow down", 1), ("turn left", 0)])
def test_a_free_answer_is_right_when_any_reference_of_its_question_agrees(text, right):
    assert scored("lingoqa", TWO, said(("q-0", "q", text))) == {("none", "q", "token_f1_stand_in"): right}


def test_official_rows_judge_an_answer_by_its_own_reference_alone():
    answers = said(("q-0", "q", "slow down"), ("q-1", "q", "turn left"))
    assert scored("lingoqa", TWO, answers) == {("none", "q", "token_f1_stand_in"): 1}
    assert scored("lingoqa", TWO, answers, official_rows=True) == {("none", "q", "token_f1_stand_in"): 0}
    other = said(("q-0", "q", "turn left"), ("q-1", "q", "slow down"))
    assert scored("lingoqa", TWO, other, official_rows=True) == {("none", "q", "token_f1_stand_in"): 1}


def test_conditions_are_scored_apart():
    answers = pl.concat([said(("q-0", "q", "slow down")), said(("q-0", "q", "turn left"), condition="lang")])
    assert scored("lingoqa", TWO, answers) == {
        ("none", "q", "token_f1_stand_in"): 1,
        ("lang", "q", "token_f1_stand_in"): 0,
    }
    answers = pl.concat([said(("a", "a", "no")), said(("a", "a", "yes"), condition="lang")])
    found = scored("rsvqa", [sample("a", {"answer": "no"})], answers)
    assert found == {("none", "a", "exact"): 1, ("lang", "a", "exact"): 0}


class Judge:
    """A judge with a rule of its own in place of a network."""

    def right(self, questions, references, predictions):
        return [prediction == reference[::-1] for reference, prediction in zip(references, predictions, strict=True)]


def test_a_real_judge_decides_under_its_own_name():
    answers = said(("q-0", "q", "nwod wolS"))
    assert scored("lingoqa", TWO, answers, lingo=Judge()) == {("none", "q", "lingo-judge"): 1}


@pytest.mark.parametrize("judge", ["lingo-judge", "my-copy"])
def test_the_table_looks_for_the_name_under_which_a_judge_scored(judge):
    found = scored("lingoqa", TWO, said(("q-0", "q", "x")), lingo=Judge())
    assert {metric for _, _, metric in found} == {metric_of("lingoqa", {**SETTINGS, "judge": judge})}
    stand_in = scored("lingoqa", TWO, said(("q-0", "q", "x")))
    assert {metric for _, _, metric in stand_in} == {metric_of("lingoqa", SETTINGS)}


@pytest.mark.parametrize(
    ("kind", "changed", "metric"),
    [
        ("rsvqa", {}, "exact"),
        ("docvqa", {}, "anls"),
        ("pmc_vqa", {}, "first_option"),
        ("pmc_vqa", {"med_metric": "official_any"}, "official_any"),
        ("vqav2", {}, "com_exact"),
        ("vqav2", {"com_metric": "vqa_acc"}, "vqa_acc"),
        ("lingoqa", {}, "token_f1_stand_in"),
    ],
)
def test_the_tables_show_the_configured_metric(kind, changed, metric):
    assert metric_of(kind, SETTINGS | changed) == metric


def test_files_of_all_domains_become_one_table(tmp_path):
    tables.write(table([sample("a", {"answer": "no"})]), tmp_path / "rs.parquet", SCHEMA)
    tables.write(table(TWO), tmp_path / "ad.parquet", SCHEMA)
    tables.write(said(("a", "a", "no")), tmp_path / "rs-said.parquet", ANSWERS)
    tables.write(said(("q-0", "q", "no")), tmp_path / "ad-said.parquet", ANSWERS)
    found = evaluate.from_files(
        [tmp_path / "ad.parquet", tmp_path / "rs.parquet"],
        [tmp_path / "ad-said.parquet", tmp_path / "rs-said.parquet"],
        {"rs": "rsvqa", "ad": "lingoqa"},
        [],
        domains=["ad", "rs"],
        anls_threshold=1.0,
        official_rows=False,
    )
    assert found.schema == pl.Schema(DOMAIN_SCORES)
    assert found.select("domain", "group", "score").rows() == [("ad", "q", 0.0), ("rs", "a", 1.0)]
