"""Effects of steering on ten questions that can be counted by hand."""

import numpy as np
import polars as pl
import pytest

from vlmscope.metrics.vqa_official import Question
from vlmscope.stats import Draws
from vlmscope.xl_vlms.steer import effects as steer_effects
from vlmscope.xl_vlms.steer.effects import Aim
from vlmscope.xl_vlms.steer.schemas import EFFECTS, STEERED

TRUE = ["yes", "yes", "yes", "no", "no", "1", "2", "red", "red", "blue"]
KINDS = ["yes/no"] * 5 + ["number"] * 2 + ["other"] * 3
ASKED = [Question(str(row), (true,) * 10, kind, "is") for row, (true, kind) in enumerate(zip(TRUE, KINDS, strict=True))]
NONE = ["Yes", "yes", "no", "no", "no", "1", "1", "red", "red", "red"]
STEERED_TO_NO = ["No", "no", "no", "no", "yes", "1", "no", "red", "qwert", "red"]
AIMS = {"yes-no": Aim("yes", "no", frozenset({"yes/no"})), "to-yesno": Aim("", "yes/no", frozenset({"yes/no"}), True)}


def rows(number, kind, vector, answers):
    about = {"block": 1, "alpha": 1.0, "positions": "all", "start": 0, "draw": 0, "n_samples": 0}
    found = [
        {"condition": number, "kind": kind, "vector": vector, **about, "sample": str(row), "prediction": one}
        for row, one in enumerate(answers)
    ]
    return pl.DataFrame([one | {"tokens": 1, "steered": kind != "none"} for one in found], schema=STEERED)


@pytest.fixture(scope="module")
def found():
    steered = [rows(0, "none", "", NONE), rows(1, "vector", "yes-no", STEERED_TO_NO)]
    steered += [rows(2, "vector", "to-yesno", STEERED_TO_NO), rows(3, "pair", "0-1", NONE)]
    return steer_effects.effects(pl.concat(steered), ASKED, AIMS, Draws(500, 0))


def test_accuracies_are_means_over_questions_of_a_type(found):
    assert dict(found.schema) == EFFECTS
    none, steered = found.row(0, named=True), found.row(1, named=True)
    assert [none[f"acc_{kind}"] for kind in ("yesno", "number", "other")] == pytest.approx([80, 50, 200 / 3])
    assert none["acc"] == pytest.approx(70) and none["acc_overall_as_official"] == pytest.approx(
        (80 + 50 + 200 / 3) / 3
    )
    assert [steered[f"acc_{kind}"] for kind in ("yesno", "number", "other")] == pytest.approx([20, 50, 100 / 3])
    for kind in ("yesno", "number", "other"):
        low, high = steered[f"acc_{kind}_low"], steered[f"acc_{kind}_high"]
        assert 0 <= low <= steered[f"acc_{kind}"] <= high <= 100


def test_answers_count_where_the_vector_is_meant_for_whatever_their_case(found):
    one = found.row(1, named=True)
    assert (one["n_original"], one["n_wanted"], one["d_original"], one["d_wanted"]) == (1, 4, -1, 1)
    assert one["n_wanted_all"] == 5
    # As released a later type overwrites: "no" once among numbers, "No" once among yes/no.
    assert one["n_wanted_all_as_official"] == 2
    assert one["d_wanted_low"] <= 1 <= one["d_wanted_high"]
    assert one["p_wanted"] == 1.0


def test_changed_answers_and_what_they_became(found):
    one = found.row(1, named=True)
    assert one["changed_pct"] == 50.0 and one["wanted_pct"] == pytest.approx(60)
    assert found.row(0, named=True)["changed_pct"] == 0.0
    # Wrong after: rows 0, 1, 4, 8; right after: none.
    assert one["p_right"] == pytest.approx(2 / 2**4)


def test_questions_of_other_types_tell_what_else_happens(found):
    one = found.row(1, named=True)
    assert one["n_off"] == 5 and one["acc_off"] == pytest.approx(40) and one["d_acc_off"] == pytest.approx(-20)
    assert one["d_acc_off_low"] <= -20 <= one["d_acc_off_high"]
    assert found.row(3, named=True)["d_acc_off"] is None


def test_a_type_is_wanted_whatever_the_question(found):
    one = found.row(2, named=True)
    assert one["wanted"] == "yes/no" and one["d_wanted"] == 1 and one["n_wanted"] == 6 and one["d_original"] is None
    assert (one["n_yesno"], one["n_number"], one["n_other"], one["n_unrecognized"]) == (6, 1, 2, 1)


def test_aims_follow_from_the_configuration():
    group = {"set": "s", "answers": [], "said": []}
    vectors = {
        "a": {"task": "targeted", "method": "shift_of_means", "original": "Yes", "wanted": "no", "target": group},
        "b": {"task": "targeted", "method": "shift_of_means", "original": "red", "wanted": "blue", "target": group},
        "c": {
            "task": "type",
            "method": "shift_of_means",
            "original": "",
            "wanted": "",
            "target": {"types": ["number"]},
        },
        "d": {"task": "targeted", "method": "sum", "parts": {"a": 1, "b": 1}, "original": "yes", "wanted": "no"},
        "e": {"task": "targeted", "method": "shift_of_means", "original": "what", "wanted": "x", "target": group},
    }
    found = steer_effects.aims(vectors, ASKED)
    assert found["a"].types == {"yes/no"} and found["b"].types == {"other"}
    assert found["c"] == Aim("", "number", frozenset({"number"}), True)
    assert found["d"].types == {"yes/no", "other"} and found["e"].types == frozenset()


def test_an_answer_is_scored_once(found):
    judge = steer_effects.Judge(ASKED, Draws(10, 0))
    first = judge.scored(NONE)
    assert len(judge.scores) == 10
    np.testing.assert_array_equal(judge.scored(NONE), first)
    assert len(judge.scores) == 10
