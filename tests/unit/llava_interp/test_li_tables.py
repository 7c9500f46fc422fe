"""Metrics of the tables on records made by hand (llava_interp.md 6)."""

import math

import pytest

from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.llava_interp.lens import scores as lens_scores
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.llava_interp.schemas import HITS, KNOCKOUTS, RECORDS

TOLD = {"answers": "strict", "synonyms": {}, "geometry": "official", "bootstrap": 50, "seed": 0, "family": "llava"}
RIGHT, WRONG = 7, 3


def records(schema, rows):
    import polars as pl

    empty = dict.fromkeys(schema)
    return pl.DataFrame([empty | row for row in rows], schema=schema)


def said(sample, setting, condition, text, size=None):
    own = {"sample": sample, "class": "cat", "setting": setting, "condition": condition, "size": size}
    return own | {"text": text, "tokens": 4, "indices": [0, 1, 2, 3]}


def token(sample, right, prob, right_prob):
    """A one-token answer that is the class, or not."""
    own = {"sample": sample, "class": "cat", "text": "cat" if right else "dog", "token": RIGHT if right else WRONG}
    probs = {"prob": prob, "first": "▁cat", "first_prob": right_prob, "right": [RIGHT], "right_prob": right_prob}
    return own | probs | {"right_log_prob": math.log(right_prob)}


def row_of(table, **where):
    (found,) = table.filter(**where).iter_rows(named=True)
    return found


def test_losses_are_counted_over_pictures_that_were_right():
    rows = []
    for sample, plain, noise, poll, without in (
        ("a", "a cat", "a sofa", "yes", "a sofa"),
        ("b", "two cats", "a sofa", "no", "a cat"),
        ("c", "a dog", "a sofa", "yes", "a dog"),
        ("d", "a cat", "a cat", "yes", "a dog"),
        ("e", "a scarf", "a sofa", "yes", "a scarf"),
    ):
        rows += [said(sample, "generative", "none", plain), said(sample, "generative", "noise", noise)]
        rows += [said(sample, "polling", "none", poll), said(sample, "generative", "object", without, 1)]
        rows += [said(sample, "polling", "object", "no", 1), said(sample, "generative", "matched", plain, 1)]
    table = ablation_tables.table(records(RECORDS, rows), TOLD)
    described = row_of(table, setting="generative", condition="object")
    # a and b were named, and not behind noise; a alone was lost.
    assert (described["n"], described["n_still_correct"], described["pct_decrease"]) == (2, 1, 50)
    assert (described["buffer"], described["k"], described["paper"]) == (1, None, 71.8)
    assert (described["difference"], described["mcnemar_p"]) == (50, 1)
    asked = row_of(table, setting="polling", condition="object")
    assert (asked["n"], asked["n_still_correct"]) == (1, 0)
    assert row_of(table, setting="generative", condition="matched")["pct_decrease"] == 0


def test_the_way_to_judge_decides_which_pictures_count():
    rows = []
    for sample, plain in (("a", "located"), ("b", "A Cat")):
        rows += [said(sample, "generative", "none", plain), said(sample, "generative", "noise", "nothing")]
        rows += [said(sample, "polling", "none", "yes"), said(sample, "generative", "object", plain, 0)]
    found = records(RECORDS, rows)
    for mode, sample in (("strict", "b"), ("official", "a")):
        judged = ablation_tables.judged(found, mode, {})
        assert ablation_tables.kept(judged, "generative") == [sample]


def test_probabilities_drop_as_defined():
    plain = [token("a", True, 0.9, 0.9), token("b", True, 0.6, 0.6), token("c", False, 0.8, 0.1)]
    after = [token("a", False, 0.7, 0.2), token("b", True, 0.5, 0.5)]
    rows = [one | {"setting": "vqa", "condition": "none"} for one in plain]
    rows += [one | {"setting": "vqa", "condition": "object", "size": 0, "tokens": 3} for one in after]
    found = row_of(ablation_tables.table(records(RECORDS, rows), TOLD), condition="object")
    assert (found["n"], found["n_still_correct"]) == (2, 1)
    # As released: right ones of all pictures, and whatever token is first each time.
    assert found["official_accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["official_prob_drop"] == pytest.approx((0.2 + 0.1) / 2)
    assert found["correct_prob_drop"] == pytest.approx((0.7 + 0.1) / 2)
    blocked = [one | {"source": "", "target": ""} for one in plain]
    place = {"sort": "window", "window": "all", "layer_first": 0, "layer_last": 2, "keys": 3}
    blocked += [one | place | {"source": "object_1", "target": "last"} for one in after]
    blocked += [one | place | {"source": "random_1", "target": "last"} for one in plain[:2]]
    own = row_of(knockout_tables.table(records(KNOCKOUTS, blocked), TOLD), source="object_1")
    assert (own["n"], own["relative_accuracy"], own["paper"]) == (2, 0.5, 0.67)
    for name in ("official_accuracy", "official_prob_drop", "correct_prob_drop"):
        assert own[name] == pytest.approx(found[name])
    assert (own["control"], own["difference"]) == ("random_1", pytest.approx(0.4))


def test_the_best_layer_is_taken_per_picture_and_of_the_mean():
    rates = {"a": [0.0, 0.5, 0.25], "b": [0.0, 0.25, 1.0], "c": [0.0, 0.0, 0.0]}
    rows = [
        {"sample": name, "layer": layer, "criterion": "strict", "topk": 1, "rate": rate, "background": 0.0}
        for name, row in rates.items()
        for layer, rate in enumerate(row)
    ]
    found = row_of(lens_tables.summary(records(HITS, rows), TOLD), criterion="strict")
    assert found["mean_best_rate"] == pytest.approx(0.5)
    assert (found["mean_best_layer"], found["best_layer_of_mean"], found["n_images"]) == (1.5, 2, 3)
    assert found["best_mean_rate"] == pytest.approx(1.25 / 3, abs=1e-6)
    assert (found["paper_rate"], found["paper_layer"]) == (0.237, 25.7)


def test_overlaps_of_maps():
    import numpy as np

    inside = np.array([True, True, False, False, False])
    best = lens_scores.overlap(np.array([0.9, 0.8, 0.1, 0.0, 0.2]), inside, 0.5)
    assert best == (1.0, 1.0, True)
    mixed = lens_scores.overlap(np.array([0.4, 0.1, 0.9, 0.0, 0.2]), inside, 0.4)
    assert mixed == (1 / 3, (1 / 2 + 2 / 4) / 2, False)
    nothing = lens_scores.overlap(np.zeros(5), inside, 0.5)
    assert nothing.iou == 0


def test_ways_to_name_a_class():
    assert lens_scores.strict("traffic", "traffic light") and not lens_scores.strict("gir", "giraffe")
    assert lens_scores.lenient(" gir", "giraffe") and not lens_scores.lenient(" gi", "giraffe")
    assert not lens_scores.lenient("cats", "cat") and lens_scores.lenient("Cat", "cat")
