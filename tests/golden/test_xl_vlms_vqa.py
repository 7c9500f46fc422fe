"""VQA accuracy and counts of answers against the released code of XL-VLMs."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import vqa_official as vqa
from vlmscope.metrics.vqa import plain_numbers

HERE = Path(__file__).parent / "xl_vlms"


def golden(name):
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("stage", "function"),
    [
        ("word_tokenize", vqa.tokenised),
        ("punct", vqa.unpunctuated),
        ("digit_article", plain_numbers),
        ("full", vqa.normalised),
    ],
)
def test_stages_of_the_normalisation(stage, function):
    told = golden("vqa_normalise")
    assert [function(text) for text in told["strings"]] == told[stage]


@pytest.mark.parametrize("case", golden("vqa_accuracy_cases"), ids=lambda case: f"{case['pred']}|{case['answers'][0]}")
def test_accuracy_of_single_answers(case):
    assert vqa.normalised(case["pred"]) == case["normalised"]
    assert vqa.acc_official_code(case["pred"], case["answers"]) == pytest.approx(case["acc"], abs=1e-9)


@pytest.fixture(scope="module")
def metric():
    told = golden("vqa_metric")
    return told | {name: [row[name] for row in told["rows"]] for name in ("pred", "answers", "answer_type")}


def official(means):
    return {name: value for name, value in means.items() if name != vqa.BY_QUESTION}


@pytest.mark.parametrize(("category", "result"), [("no", "result"), ("", "result_empty_category")])
def test_accuracies_of_a_whole_run(metric, category, result):
    scores = vqa.accuracies(metric["pred"], metric["answers"])
    # One word as the only reference: at most 33.3.
    token = vqa.accuracies(metric["pred"], [[metric["args"]["token_of_interest"]]] * len(metric["pred"]))
    types = metric["answer_type"]
    assert official(vqa.by_type(scores, types, category)) == pytest.approx(metric[result]["global_accuracy"])
    wanted = metric[result]["token_of_interest_accuracy"]
    assert official(vqa.by_type(token, types, category)) == pytest.approx(wanted)


def test_counts_of_answers(metric):
    found = vqa.answer_counts(metric["pred"], metric["answer_type"], metric["args"]["category_of_interest"])
    told = metric["result"]["answer_counts"]
    for name, wanted in told.items():
        assert found[name + vqa.AS_OFFICIAL if name.startswith(vqa.OVERALL) else name] == wanted
    # Four answers were "No", of three types: the true sum has them all.
    assert found[vqa.OVERALL]["No"] == 4 > told["overall"]["No"]
    assert sum(found[vqa.OVERALL].values()) == len(metric["pred"])


@pytest.mark.parametrize("kind", ["answer", "question"])
def test_types_of_answers(metric, kind):
    table = vqa.answers_to_type(metric["type_to_answer"][f"{kind}_type"])
    if kind == "answer":
        assert table == metric["answer_to_answer_type"]
    assert vqa.types_count(metric["pred"], table) == metric["result"][f"{kind}_types_count"]


def test_counters_beside_a_baseline_and_without(metric):
    baseline = [metric["baseline_predictions"][str(row["question_id"])] for row in metric["rows"]]
    words = metric["args"]["predictions_token_of_interest"], metric["args"]["targets_token_of_interest"]
    found = vqa.counts(metric["pred"], metric["answers"], baseline, *words)
    names = ("with_toi", "and_targets_with_toi", "and_baseline_preds_with_toi", "changed")
    assert list(found) == [metric["result"][f"num_preds_{name}"] for name in names]


def test_counters_of_captions():
    told = golden("caption_words")
    texts, references, ids = ([one for row in told[name] for one in row] for name in ("captions", "targets", "ids"))
    words = told["preds_toi"], told["targets_toi"]
    baseline = [told["baseline"][name] for name in ids]
    assert list(vqa.counts(texts, references, baseline, *words)) == list(told["counts"].values())
    assert list(vqa.counts(texts, references, None, *words)) == told["counts_without_baseline"]


# ---- beyond the released code ------------------------------------------------------------------------------------


def test_the_public_accuracy_leaves_out_each_annotator():
    alone = ["yes", *["no"] * 9]
    assert vqa.acc_vqa("Yes", alone) == pytest.approx(30)
    assert vqa.acc_official_code("Yes", alone) == pytest.approx(100 / 3)
    assert vqa.acc_vqa("yes", [*["yes"] * 3, *["no"] * 7]) == pytest.approx(90)
    assert vqa.acc_vqa("yes", [*["yes"] * 4, *["no"] * 6]) == 100


def test_the_public_accuracy_normalises_references_that_differ():
    given = ["t-shirt", *["the t-shirt"] * 9]
    assert (vqa.acc_vqa("t-shirt", given), vqa.acc_official_code("t-shirt", given)) == (100, 0)
    # Where all agree they are taken as they stand, in the public evaluation too.
    assert vqa.acc_vqa("t-shirt", ["t-shirt"] * 10) == 0


def test_the_mean_over_questions_weighs_types_by_their_number():
    found = vqa.by_type(np.array([100.0, 100.0, 100.0, 0.0]), ["yes/no"] * 3 + ["other"])
    assert (found["overall"], found["overall_by_question"]) == (50, 75)


def test_the_dictionary_of_types_is_built_from_annotations():
    asked = [
        vqa.Question("1", ("Yes", "yes", "no"), "yes/no", "is the"),
        vqa.Question("2", ("two", "2", "No"), "number", "how many"),
    ]
    built = vqa.types_to_answers(asked)
    assert built["answer_type"] == {"yes/no": ["yes", "yes", "no"], "number": ["2", "2", "no"]}
    # "no" occurs once in both: the first type keeps it. An unseen number is a number all the same.
    table = vqa.answers_to_type(built["answer_type"])
    assert table == {"yes": "yes/no", "no": "yes/no", "2": "number"}
    assert [vqa.answer_type(said, table) for said in ("No.", "17", "dog")] == ["yes/no", "number", "unrecognized"]


def test_contractions_get_back_the_apostrophe_that_is_missing():
    assert plain_numbers("couldnt've couldn'tve yalld someoned y'all'dve") == (
        "couldn't've couldn't've yalld someone'd y'all'd've"
    )


def test_a_question_without_answers_is_refused():
    with pytest.raises(VlmscopeError, match="no answer"):
        vqa.acc_vqa("yes", [])
