"""Steering captions of the embedded LLaVA towards a word: what has to show there (xl_vlms.md 11, 15)."""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.capture import batches, taps
from vlmscope.capture import run as passes
from vlmscope.capture.shard import prompts
from vlmscope.datasets import karpathy
from vlmscope.models.load import describe, load
from vlmscope.store import files
from vlmscope.world import draw
from vlmscope.xl_vlms.captions import steering as caption_steering
from vlmscope.xl_vlms.captions import tables as caption_tables
from vlmscope.xl_vlms.steer import answers as steer_answers
from vlmscope.xl_vlms.steer import vectors as directions
from vlmscope.xl_vlms.steer.files import Steering

pytestmark = pytest.mark.slow
WEIGHTS = Path(__file__).resolve().parents[3] / "weights" / "llava15"
LAST, BATCH = 2, 40
CAPTIONS = {
    **{"alphas": [0.5, 1.0, 2.0], "positions": "all", "random": 2, "shuffled": 0, "control_alphas": [0.5, 1.0]},
    **{"styles": {"style-beach": ["beach"]}, "word_files": {}, "scores": ["cider", "bleu4"], "examples": 5},
    **{"top_words": 5, "bootstrap": 200, "seed": 0},
}
SETTINGS = {"captions": CAPTIONS, "vectors": {"style-beach": {"modules": ["block.-1"]}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("coco")
    for split, first, count in (("train", 71_000, 120), ("test", 81_000, 40)):
        karpathy.write([draw.draw("com", first + one) for one in range(count)], path, split)
    about = {"family": "llava", "checkpoint": str(WEIGHTS), "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS, about), path / "model.json")
    return path


def asked(folder, split):
    return list(karpathy.read(folder, split, name="coco", query="describe the image."))


@torch.inference_mode()
def style_vector(loaded, samples, folder):
    """Mean state that predicted `beach` less the mean over captions, behind the last block."""
    (beach,) = loaded.processor.tokenizer(" beach", add_special_tokens=False).input_ids
    ask, picture, means, words = prompts(loaded, karpathy, "chat"), batches.picture_of(folder), [], []
    stream = batches.prefill(loaded, samples, ask, picture, BATCH)
    for batch in batches.answered(loaded, stream, 24, contextlib.nullcontext):
        seen = {}
        with taps.reading(loaded, loaded.family.site("resid_post"), [LAST], seen.__setitem__):
            passes.forward(loaded, batch)
        ends = batch.inputs["attention_mask"].sum(1).tolist()
        for row, (start, end) in enumerate(zip(batch.starts, ends, strict=True)):
            states = seen[LAST][row, start - 1 : end - 1].numpy()
            means.append(states.mean(axis=0))
            said = batch.inputs["input_ids"][row, start:end].tolist()
            words += [states[said.index(beach)]] if beach in said else []
    assert len(words) > 20
    return directions.shift_of_means(np.array(means), np.array(words))


@pytest.fixture(scope="module")
def rows(folder):
    loaded, samples = load(folder / "model.json"), asked(folder, "test")
    made = Steering(
        {f"block.{LAST}": style_vector(loaded, asked(folder, "train"), folder)}, {}, {}, {}, {}, {"layers": 3}
    )
    every = caption_steering.planned({"style-beach": made}, SETTINGS)
    ask, picture = prompts(loaded, karpathy, "chat"), batches.picture_of(folder)
    texts = [ask(one) for one in samples]
    return steer_answers.table(
        list(steer_answers.answers(loaded, samples, texts, picture, every, 24, BATCH)), every, samples
    )


@pytest.fixture(scope="module")
def table(rows, folder):
    return caption_tables.table(rows, asked(folder, "test"), CAPTIONS, "llava15")


def one(table, kind, alpha=0.0):
    return table.row(by_predicate=(pl.col("kind") == kind) & (pl.col("alpha") == alpha), named=True)


def test_a_style_brings_its_word_and_random_directions_do_not(table):
    before = one(table, "none")["with_style_pct"]
    for alpha in (0.5, 1.0):
        assert one(table, "vector", alpha)["with_style_pct"] > before + 10
        assert abs(one(table, "random", alpha)["with_style_pct"] - before) < 10
    assert one(table, "vector", 1.0)["with_style_pct_low"] > one(table, "random", 1.0)["with_style_pct_high"]
    assert one(table, "vector", 1.0)["p"] < 1e-4
    assert "beach" in one(table, "vector", 1.0)["top_words"].split(", ")[0]


def test_scores_fall_as_the_strength_grows(table):
    scores = [one(table, "none")["cider"], *(one(table, "vector", alpha)["cider"] for alpha in (0.5, 1.0, 2.0))]
    assert all(a > b for a, b in itertools.pairwise(scores))
    assert scores[0] > 10 * scores[-1]


def test_no_steering_changes_no_caption_and_agrees_with_itself(table, rows):
    plain = one(table, "none")
    assert plain["changed_pct"] == 0
    assert (
        plain["with_style_pct"]
        == plain["with_style_and_baseline_pct"]
        == plain["with_style_and_baseline_as_official_pct"]
    )
    assert plain["n"] == rows.filter(kind="none").height == 40


def test_examples_and_words_tell_the_same(rows, table, folder):
    shown = caption_tables.examples(rows, asked(folder, "test"), CAPTIONS)
    assert shown["sample"].n_unique() == CAPTIONS["examples"]
    assert shown.group_by("sample").len()["len"].unique().to_list() == [len(CAPTIONS["alphas"])]
    counted = caption_tables.words(rows, CAPTIONS).filter(kind="vector", alpha=1.0, **{"class": "beach"})
    assert counted["words"].item() == pytest.approx(one(table, "vector", 1.0)["style_words"] * 40)
