"""Twins that differ in one object, and scores that tell objects that are there from others."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import lens, stats
from vlmscope.config import default, plain
from vlmscope.llava_interp.ablation import choices_tables, layers_tables
from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.lens import detector, detector_tables, tuned
from vlmscope.llava_interp.tracing import pairs, pairs_tables
from vlmscope.llava_interp.tracing.pairs import Box
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.show import without
from vlmscope.store import tables

TOLD = {"answers": "strict", "bootstrap": 200, "seed": 1}


@pytest.fixture(scope="module")
def settings():
    told = plain(default())["llava_interp"]
    told |= {"question": told["lens"]["question"]}
    told["pairs"] |= {"images": 8}
    told["detector"] |= {"images": 6}
    return told


@pytest.fixture(scope="module")
def files(drawn, tmp_path_factory):
    folder, samples = drawn
    target = tmp_path_factory.mktemp("pairs") / "samples.parquet"
    tables.write(table(samples), target, SCHEMA)
    return {"raw": str(folder / "raw.json"), "samples": str(target), "batch": 32}


# ---- twins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "other", "wanted"),
    [
        ([9, 10], [9, 17], ((1, 1), (1, 1), (2, 2))),
        ([63], [0, 1, 2], ((7, 5), (0, 0), (1, 3))),
        ([0, 56], [7], ((0, 0), (0, 7), (8, 1))),
    ],
)
def test_rectangles_are_of_one_size_and_within_their_pictures(own, other, wanted):
    first, second = pairs.boxes(own, other, 8)
    size = wanted[2]
    assert first == Box(*wanted[0], *size) and second == Box(*wanted[1], *size)
    assert set(own) <= set(first.patches(8)) and set(other) <= set(second.patches(8))


def test_a_twin_differs_within_its_rectangle_alone(shipped, drawn, chosen, settings):
    own = experiments.Bench(shipped, lambda one: picture(one, drawn[0] / "drawn"), None, None, settings, 8)
    first, second = next(pairs.couples(chosen, 0))
    assert first.name != second.name
    seen, changed, box = pairs.twin(own, first, second)
    cells = [np.asarray(one).reshape(8, 8, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(64, -1) for one in (seen, changed)]
    inside = set(box.patches(8))
    assert set(np.flatnonzero((cells[0] != cells[1]).any(1)).tolist()) <= inside and set(first.patches) <= inside
    there = pairs.boxes(first.patches, second.patches, 8)[1]
    other = np.asarray(pairs.twin(own, second, first)[0])
    np.testing.assert_array_equal(box.of(np.asarray(changed), 8), there.of(other, 8))


def test_there_is_no_twin_among_pictures_of_one_class(chosen):
    assert list(pairs.couples([replace(one, name="cat") for one in chosen], 0)) == []
    assert list(pairs.couples(chosen, 3)) == list(pairs.couples(chosen, 3))


def test_an_article_does_not_tell_twins_apart(chosen):
    named = [replace(one, name=name) for one, name in zip(chosen, ("cat", "umbrella", "apple", "dog"), strict=False)]
    matched = [(one.name, other.name) for one, other in pairs.couples(named, 0, "it is {a}")]
    assert matched == [("cat", "dog"), ("umbrella", "apple"), ("apple", "umbrella"), ("dog", "cat")]


def row(sample, part, own, twin, layer=None, ok=False):
    return {"sample": sample, "image_id": 1, "ann_id": 1, "class": "cat", "twin": "t", "twin_class": "dog"} | {
        "part": part, "layer": layer, "tokens": 2, "log_prob": own, "twin_log_prob": twin, "ok": ok,
    }  # fmt: skip


def test_the_way_back_is_counted_between_twin_and_picture():
    rows = []
    for sample, back in (("a", 2.0), ("b", -1.0)):
        rows += [row(sample, "own", -1.0, -4.0), row(sample, "twin", -4.0, -1.0)]
        rows += [row(sample, "object", back, 0.0, 1, back > 0), row(sample, "matched", -3.0, 0.0, 1)]
    own, other = pairs_tables.table(pl.DataFrame(rows, schema=pairs_tables.PAIRS), TOLD).rows(named=True)
    # From -3 to 3: 2 is 5/6 of the way, -1 is 2/6.
    assert own["recovered"] == pytest.approx(7 / 12, abs=1e-6) and (own["flipped"], own["n"]) == (0.5, 2)
    assert other["recovered"] == 0 and own["difference"] == pytest.approx(7 / 12, abs=1e-6)
    assert pairs_tables.table(pl.DataFrame(schema=pairs_tables.PAIRS), TOLD).is_empty()


def test_the_object_s_states_lead_the_twin_back(shipped, files, settings):
    records, counts = experiments.run(pairs.from_files, shipped, settings=settings, **files)
    assert 3 <= counts["right"] <= counts["pairs"] == 8
    found = {(one["part"], one["layer"]): one for one in pairs_tables.table(records, TOLD).iter_rows(named=True)}
    assert found["object", 0]["recovered"] > 0.9 and abs(found["matched", 0]["recovered"]) < 0.2
    # Where tokens enter, those of the text are the same in both.
    assert abs(found["question", 0]["recovered"]) < 1e-4 and abs(found["last", 0]["recovered"]) < 1e-4
    assert found["last", 2]["recovered"] > found["last", 0]["recovered"]


# ---- detector ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_areas_are_those_of_all_pairs(seed):
    generator = np.random.default_rng(seed)
    values, present = generator.integers(0, 5, 30).astype(float), generator.random(30) < 0.4
    weights = stats.Draws(20, seed).weights(30)
    found = detector_tables.auc(values, present, weights)
    for weight, area in zip(weights[:4], found, strict=False):
        own, other = (np.repeat(values[kind], weight[kind].astype(int)) for kind in (present, ~present))
        pairs_ = [(a > b) + 0.5 * (a == b) for a in own for b in other]
        assert area == pytest.approx(np.mean(pairs_))
    assert np.isnan(detector_tables.auc(values, np.ones(30, dtype=bool), weights)).all()


def test_tables_tell_invented_objects_from_others():
    rows = []
    for name in "abcd":
        for kind, present, text, score in (
            ("cat", True, "yes", 0.9),
            ("dog", False, "yes", 0.2),
            ("cup", False, "no", 0.1),
        ):
            rows.append({"sample": name, "class": kind, "present": present, "text": text, "prob": 0.5} | {
                "scores": [0.3, score], "elsewhere": [0.3, 0.3],
            })  # fmt: skip
    found = detector_tables.table(pl.DataFrame(rows, schema=detector_tables.DETECTED), TOLD)
    by = {(one["among"], one["score"]): one for one in found.iter_rows(named=True)}
    own = by["affirmed", "lens"]
    assert (own["n_present"], own["n_absent"], own["auc"], own["difference"]) == (4, 4, 1, 0.5)
    assert by["all", "lens"]["n_absent"] == 8 and by["all", "layer_0"]["auc"] == by["all", "answer"]["auc"] == 0.5
    assert by["all", "elsewhere"]["control"] is None
    assert detector_tables.table(pl.DataFrame(schema=detector_tables.DETECTED), TOLD).is_empty()
    sure = pl.DataFrame([one for one in rows if one["present"]], schema=detector_tables.DETECTED)
    assert detector_tables.table(sure, TOLD)["auc"].is_null().all()


def test_scores_are_the_largest_probability_of_a_class(shipped, drawn, chosen, settings):
    text = prompts.text(shipped, settings["asking"], "describe the image.")
    asked = prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]
    states = tuned.states(shipped, asked)
    words = [prompts.word(shipped.processor.tokenizer, name) for name in ("dog", "umbrella")]
    found = detector.scores(shipped, states, words)
    with torch.inference_mode():
        shares = lens.logits(shipped, states[2]).softmax(-1)
    wanted = [float(shares[:, list(word.right)].max()) for word in words]
    np.testing.assert_allclose(found[2], wanted, rtol=1e-5)


def test_the_lens_knows_what_is_there(shipped, files, settings, drawn):
    records, counts = experiments.run(detector.from_files, shipped, settings=settings, **files)
    assert counts["pictures"] == 6 and len(records) >= 12
    for (name,), part in records.group_by("sample"):
        sample = next(one for one in drawn[1] if one.sample == name)
        there = {one["class"] for one in json.loads(sample.answer)["objects"]}
        assert (
            set(part.filter("present")["class"]) == there and not set(part.filter(~pl.col("present"))["class"]) & there
        )
    found = detector_tables.table(records, TOLD)
    assert found.filter(among="all", score="lens")["auc"][0] > 0.8


def test_a_figure_is_drawn_of_whole_and_of_empty_tables(tmp_path):
    rows = [{"condition": "lens", "size": 4, "pct_lost": 50.0, "ci_low": 20.0, "ci_high": 80.0}]
    empty = [pl.DataFrame(schema=one.TABLE) for one in (choices_tables, layers_tables, pairs_tables)]
    full = [pl.DataFrame([dict.fromkeys(choices_tables.TABLE) | rows[0]], schema=choices_tables.TABLE), *empty[1:]]
    for name, found in (("full", full), ("empty", empty)):
        without.draw(*found, "title", tmp_path / f"{name}.svg")
    assert "the lens says the class" in (tmp_path / "full.svg").read_text()
    assert "the lens says the class" not in (tmp_path / "empty.svg").read_text()
