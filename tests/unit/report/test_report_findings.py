"""What the report says of a table, and how sure it says it is: from tables that were made up."""

import math

import polars as pl
import pytest

from vlmscope.report import (
    atlas,
    finding,
    llava_interp,
    mm_neurons,
    mmneuron,
    multimodal_sae,
    sae_tables,
    xl_steering,
    xl_vlms,
)
from vlmscope.report.finding import NOTHING, Finding, Measure, Verdict


def of(**frames):
    """Reads made-up tables by the names of their files."""
    return lambda name: frames[name.removesuffix(".csv")]


OWN = Measure("own", 5.0, 4.0, 6.0)


@pytest.mark.parametrize(
    ("controls", "expected", "kind", "words"),
    [
        ([Measure("a", 2.0, 1.0, 3.0)], "above", "clear", "above a"),
        ([Measure("a", 2.0, 1.0, 3.0), Measure("b", 3.9)], "above", "clear", "above a and b"),
        ([Measure("a", 2.0, 1.0, 4.0)], "above", "open", "not told apart from a"),
        ([Measure("a", 2.0, 1.0, 3.0), Measure("b", 5.5)], "above", "open", "not told apart from b"),
        ([Measure("a", 7.0, 6.5, 8.0)], "above", "against", "below a: the other way than expected"),
        ([Measure("a", 7.0, 6.5, 8.0)], "below", "clear", "below a"),
        ([NOTHING], "below", "against", "above no difference: the other way than expected"),
        ([], "above", "plain", "no control here"),
    ],
)
def test_intervals_decide_whether_a_number_stands_apart(controls, expected, kind, words):
    found = finding.verdict(Finding("", OWN, tuple(controls), expected=expected))
    assert found == Verdict(kind, words)


def test_a_number_without_an_interval_is_never_called_clear():
    assert finding.verdict(Finding("", Measure("own", 5.0), (Measure("a", 1.0, 0.5, 1.5),))).kind == "open"


def test_counted_comparisons_are_clear_only_when_all_stand_apart():
    assert finding.verdict(Finding("", count=(3, 3))).kind == "clear"
    assert finding.verdict(Finding("", count=(2, 3))) == Verdict("open", "2 of 3 comparisons stand apart")


def test_what_has_no_interval_is_named():
    told = finding.sure(Finding("", OWN, (Measure("a mean", 2.0),), n="7 pictures"))
    assert told == "7 pictures; 95 % intervals in brackets; no interval for a mean."
    assert finding.sure(Finding("", Measure("own", 5.0))) == "no interval for own."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.345, "12.3"),
        (-0.5, "\u22120.5"),
        (3.0, "3"),
        (32792, "32,792"),
        (1234.5, "1,234"),
        (math.nan, ""),
        (None, ""),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert finding.number(value) == text


def test_dots_and_whiskers_share_an_axis_that_holds_zero():
    own, control = finding.bars(Finding("", OWN, (Measure("a", 2.0),)))
    assert own["zero"] == control["zero"] < control["dot"] < own["low"] < own["dot"] < own["high"] < finding.WIDTH
    assert control["low"] is None
    assert finding.bars(Finding("told")) == []


# ---- the systems -------------------------------------------------------------------------------------------------


EFFECTS = pl.DataFrame(
    {
        "domain": ["mean"] * 3, "kind": ["own", "other", "random"], "masks": [5, 20, 5], "n": [250] * 3,
        "units": [70.0] * 3,
        "deviation": [20.0, 8.0, 9.0], "deviation_low": [18.0, 7.0, 8.0], "deviation_high": [22.0, 9.0, 18.5],
        "score": [0.9] * 3, "delta": [-2.0] * 3, "delta_low": [-4.0] * 3, "delta_high": [1.0] * 3,
    }
)  # fmt: skip


def test_an_effect_within_reach_of_random_neurons_is_said_to_be():
    found = mmneuron.effects(of(effects=EFFECTS))
    assert finding.verdict(found).words == "not told apart from as many random neurons"
    assert "changes by \u22122 points [\u22124, 1], an interval that holds zero" in found.says
    assert found.n == "250 questions, 5 domains, about 70 neurons each"


def test_numbers_of_an_effect_are_those_of_the_table():
    shrunk = EFFECTS.with_columns(pl.col("deviation", "deviation_low", "deviation_high") / 2)
    found = mmneuron.effects(of(effects=shrunk))
    assert found.own[1:] == (10.0, 9.0, 11.0)
    assert [one.value for one in found.controls] == [4.0, 4.5]


LONG = pl.DataFrame(
    {
        "condition": ["none", "all", "lang"], "masked_modules": [None, "lang+vision", "lang"], "domain": ["med"] * 3,
        "dataset": ["PMC-VQA"] * 3, "metric": ["token_f1_stand_in"] * 3, "n": [240] * 3, "score": [0.9, 0.5, 0.8],
        "ci_low": [0.85, 0.4, 0.7], "ci_high": [0.95, 0.6, 0.85], "delta_vs_none": [0.0, -0.4, -0.1],
        "n_masked_neurons": [0, 90, 40],
    }
)  # fmt: skip


def test_the_largest_loss_tells_of_how_many_it_is_the_largest():
    found = mmneuron.accuracy(of(table2_long=LONG))
    assert (found.own.value, found.controls[0].value, found.expected) == (50.0, 90.0, "below")
    assert found.caveat.startswith("The largest of 2 comparisons, not corrected")
    assert "stand-in for the published model, token_f1_stand_in" in found.caveat


def test_a_measure_by_its_own_model_names_no_stand_in():
    found = mmneuron.accuracy(of(table2_long=LONG.with_columns(metric=pl.lit("exact"))))
    assert "stand-in" not in found.caveat


def test_removed_neurons_are_held_against_as_many_random_ones():
    rows = {
        "activation": ["act_fn", "act_fn", None],
        "set": ["contribution", "contribution", "random"],
        "k": [10, 50, 50],
    }
    numbers = {"noun_gone": [0.1, 0.2, 0.05], "ci_low": [0.0, 0.1, 0.0], "ci_high": [0.2, 0.3, 0.15]}
    frame = pl.DataFrame({**rows, **numbers, "kind": ["zero"] * 3, "n": [20] * 3, "nouns": [43] * 3})
    found = mm_neurons.removed(of(table_perturb=frame))
    assert "the 50 neurons" in found.says
    assert (found.own.value, found.controls[0].value) == (20.0, 5.0)
    assert finding.verdict(found).kind == "open"


def test_a_shift_counts_only_where_it_beats_random_ones_too():
    rows = [
        ("a", "dog", "shift", 0.1, None), ("a", "dog", "random", -0.1, 0.2),
        ("a", "cat", "shift", 0.1, None), ("a", "cat", "random", -0.1, -0.1),
        ("b", "dog", "shift", -0.2, None), ("b", "dog", "random", -0.1, 0.2),
    ]  # fmt: skip
    frame = pl.DataFrame(rows, ["finetune", "token", "arm", "cosine_gain_low", "cosine_lead_low"], orient="row")
    found = xl_vlms.shifted(of(shift=frame.with_columns(goal=pl.lit("matched"), n=pl.lit(80))))
    assert found.count == (1, 3)
    assert "in 2 of 3 pairs" in found.says


def test_steering_is_told_by_a_row_that_has_controls():
    frame = pl.DataFrame(
        {
            "kind": ["vector"] * 2, "vector": ["yes-no"] * 2, "wanted": ["no"] * 2, "alpha": [2.0, 1.0],
            "block": [1, 1], "n": [160] * 2, "d_wanted": [60, 20], "d_wanted_low": [50.0, 12.0],
            "d_wanted_high": [70.0, 30.0],
            "d_acc_off": [-9.0, -1.0], "random_d_wanted": [None, 2.0], "random_draws": [None, 5],
            "shuffled_d_wanted": [None, None], "shuffled_draws": [None, None],
        },
        schema_overrides={"shuffled_d_wanted": pl.Float64, "shuffled_draws": pl.Int64},
    )  # fmt: skip
    found = xl_steering.targeted(of(steer_targeted=frame))
    assert found.own.value == 20
    assert [one.name for one in found.controls] == ["mean of 5 random directions"]


def test_an_autoencoder_without_intervals_is_not_called_better():
    frame = pl.DataFrame(
        [(coder, "all", "ev", value, 9000) for coder, value in (("trained", 0.97), ("untrained", 0.46), ("pca", 0.9))],
        ["coder", "scope", "metric", "value", "n_tokens"],
        orient="row",
    )
    found = multimodal_sae.quality(of(sae_quality=frame))
    assert [one.value for one in (found.own, *found.controls)] == [97.0, 46.0, 90.0]
    assert finding.verdict(found).kind == "open"


def test_relevance_by_words_is_told_apart_from_nothing_and_named_a_stand_in():
    row = {"among": "all", "kind": "steering - random", "judge": "words_stand_in", "relevance": 3.7, "low": 2.0}
    row |= {"high": 5.5, "n_features": 23, "n_asked": 23}
    frame = pl.DataFrame([row, row | {"kind": "steering", "relevance": 5.7}])
    found = sae_tables.white(of(table9_steering=frame))
    assert (found.own.value, finding.verdict(found).kind) == (3.7, "clear") and "words_stand_in" in found.caveat
    assert sae_tables.white(of(table9_steering=frame.with_columns(relevance=pl.lit(None, pl.Float64)))) is None


def test_layers_are_counted_by_intervals_that_do_not_meet():
    rows = [
        {
            "layer": layer,
            "coder": coder,
            "iou_classes": low + 0.05,
            "iou_classes_low": low,
            "iou_classes_high": low + 0.1,
        }
        | {"iou_low": 0.1, "iou_high": 0.2}
        for layer, lows in ((0, (0.5, 0.3)), (1, (0.35, 0.3)))
        for coder, low in zip(("trained", "untrained"), lows, strict=True)
    ]
    found = sae_tables.layered(of(table3_layers=pl.DataFrame(rows)))
    assert found.count == (1, 2) and "2 of 2 layers" in found.says


KNOCKOUT = pl.DataFrame(
    {
        "source": ["object", "object_1"], "target": ["last"] * 2, "layer_first": [0, 0], "layer_last": [2, 2],
        "n": [98] * 2, "relative_accuracy": [0.5, 0.1], "correct_prob_drop": [0.3, 0.6], "drop_low": [0.2, 0.5],
        "drop_high": [0.4, 0.7], "control": ["random", "random_1"], "difference": [0.2, 0.55],
        "difference_low": [-0.1, 0.5], "difference_high": [0.3, 0.6],
    }
)  # fmt: skip


def test_blocked_attention_is_told_beyond_its_control_where_there_is_one():
    found = llava_interp.blocked(of(knockout=KNOCKOUT))
    assert (found.own.name, finding.verdict(found).kind) == ("drop beyond the control", "clear")
    bare = KNOCKOUT.with_columns(control=pl.lit(None, pl.String), difference=pl.lit(None, pl.Float64))
    found = llava_interp.blocked(of(knockout=bare))
    assert (found.own.value, finding.verdict(found).words) == (60.0, "no control here")


def test_an_overlap_within_that_of_random_sets_is_not_told_apart():
    row = {
        "word": "all",
        "domain": "any",
        "layer": "all",
        "word_neurons": 100,
        "both": 20,
        "expected": 16.0,
        "pictures": 9,
    }
    numbers = {"ratio": 1.25, "ratio_low": 1.1, "ratio_high": 1.4, "random_low": 10, "random_high": 22, "p": 0.2}
    found = atlas.both(of(neurons=pl.DataFrame([row | numbers])))
    assert finding.verdict(found).words == "not told apart from chance"


def test_what_goes_with_an_object_stands_beside_other_tokens_and_other_words():
    place = {"word": "all", "name": "all", "place": "last", "condition": "object", "kind": "concept", "n": 9}
    row = place | {
        "belongs": "own",
        "clean": 0.9,
        "change": -0.7,
        "change_low": -0.8,
        "change_high": -0.6,
        "control": 0.0,
    }
    other = row | {"belongs": "other", "change": 0.2, "change_low": 0.1, "change_high": 0.3}
    rows = [row | {"depth": 3}, other | {"depth": 3}, row | {"depth": 1, "change": 0.0}]
    found = atlas.destroyed(of(destroyed=pl.DataFrame(rows)))
    assert found.own.value == -0.7 and [one.value for one in found.controls] == [0.0, 0.2]
    assert "0.9 of the way" in found.says and "0.2 when" in found.says
    assert atlas.destroyed(of(destroyed=pl.DataFrame(rows).filter(kind="latent"))) is None


def test_ways_to_steer_are_told_by_their_gain_above_random_ones():
    numbers = {"word": "all", "n": 34, "loss": 0.1, "control": "random", "beyond_low": 1.0, "beyond_high": 3.0}
    ways = {"concept": (5.0, 2.0), "latent": (6.0, 1.0), "random": (4.0, None)}
    rows = [numbers | {"method": name, "gain": gain, "beyond": more} for name, (gain, more) in ways.items()]
    found = atlas.steering(of(steering=pl.DataFrame(rows)))
    assert "latent 6, concept 5;" in found.says and "concept, which costs" in found.says
    assert (found.own.value, finding.verdict(found).kind) == (2.0, "clear")
    assert atlas.steering(of(steering=pl.DataFrame(rows).filter(method="random"))) is None


def test_a_table_without_the_row_in_question_says_nothing():
    assert mmneuron.effects(of(effects=EFFECTS.filter(kind="random"))) is None
    assert llava_interp.blocked(of(knockout=KNOCKOUT.filter(source="all"))) is None
