"""Steering the embedded LLaVA on drawn questions: what has to show there (xl_vlms.md 11, 14; tiny_world.md 6.6)."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vlmscope import replay
from vlmscope.capture.batches import picture_of
from vlmscope.capture.shard import prompts
from vlmscope.datasets import vqav2_questions
from vlmscope.metrics.vqa_official import Question
from vlmscope.models import inputs
from vlmscope.models.load import describe, load
from vlmscope.stats import Draws
from vlmscope.store import files
from vlmscope.world import draw
from vlmscope.xl_vlms.steer import answers as steer_answers
from vlmscope.xl_vlms.steer import effects as steer_effects
from vlmscope.xl_vlms.steer import vectors as directions
from vlmscope.xl_vlms.steer.conditions import Condition
from vlmscope.xl_vlms.steer.effects import Aim

pytestmark = pytest.mark.slow
WEIGHTS = Path(__file__).resolve().parents[3] / "weights" / "llava15"
ALPHAS, LAYERS, RANDOM, BATCH = (0.5, 1.0, 2.0), 3, 5, 64
AIM = Aim("yes", "no", frozenset({"yes/no"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("vqa")
    for split, first, scenes in (("train", 70_000, 60), ("val", 80_000, 40)):
        vqav2_questions.write([draw.draw("com", first + one) for one in range(scenes)], path, split)
    about = {"family": "llava", "checkpoint": str(WEIGHTS), "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS, about), path / "model.json")
    return path


def questions(folder, split):
    return list(vqav2_questions.read(folder, split, name="vqa", ask="Question: "))


def choice(sample):
    return json.loads(sample.answer)["choice"]


def ends(loaded, asked, texts, picture):
    """States that write the first token, float32 [sample, layer, d]."""
    found = {}
    for rows in inputs.batches(loaded, texts, asked, BATCH):
        pictures = [picture(asked[row]) for row in rows]
        known = replay.prefix(
            loaded, inputs.encode(loaded, [texts[row] for row in rows], pictures, "left"), range(LAYERS)
        )
        found |= {row: [known.ends(layer)[place].numpy() for layer in range(LAYERS)] for place, row in enumerate(rows)}
    return np.array([found[row] for row in range(len(asked))])


@pytest.fixture(scope="module")
def effects(folder):
    loaded, picture = load(folder / "model.json"), picture_of(folder)
    ask = prompts(loaded, vqav2_questions, "chat")
    taught = [one for one in questions(folder, "train") if choice(one) in ("yes", "no")]
    states = ends(loaded, taught, [ask(one) for one in taught], picture)
    said = np.array([choice(one) for one in taught])
    every = [Condition("none")]
    for layer in range(LAYERS):
        vector = directions.shift_of_means(states[said == "yes", layer], states[said == "no", layer])
        every += [Condition("vector", "yes-no", layer, alpha, direction=vector) for alpha in ALPHAS]
        drawn = directions.random_like(vector, RANDOM, 0)
        every += [Condition("random", "yes-no", layer, 1.0, draw=k, direction=one) for k, one in enumerate(drawn)]
    asked = questions(folder, "val")[:200]
    parts = list(steer_answers.answers(loaded, asked, [ask(one) for one in asked], picture, every, 5, BATCH))
    known = [json.loads(one.answer) for one in asked]
    told = [
        Question(one.sample, tuple(row["answers"]), row["answer_type"]) for one, row in zip(asked, known, strict=True)
    ]
    return steer_effects.effects(steer_answers.table(parts, every, asked), told, {"yes-no": AIM}, Draws(200, 0))


def steered(effects, layer):
    return effects.filter(kind="vector", block=layer).sort("alpha")


@pytest.mark.parametrize("layer", [1, 2])
def test_no_becomes_more_frequent_and_yes_rarer_the_more_the_stronger(effects, layer):
    own = steered(effects, layer)
    none = effects.filter(kind="none")["n_yesno"][0]
    assert own["d_wanted"].is_sorted() and own["d_original"].is_sorted(descending=True)
    assert own["d_wanted"][1] > 0.25 * none and own["d_original"][1] < -0.25 * none
    assert own["d_wanted_low"][1] > 0 and own["p_wanted"][1] < 1e-4


@pytest.mark.parametrize("layer", [1, 2])
def test_questions_of_other_types_suffer_less(effects, layer):
    none, own = effects.row(0, named=True), steered(effects, layer).row(1, named=True)
    lost = none["acc_yesno"] - own["acc_yesno"]
    assert lost > 5
    assert none["acc_number"] - own["acc_number"] < lost and none["acc_other"] - own["acc_other"] < lost
    assert abs(own["d_acc_off"]) < lost


@pytest.mark.parametrize("layer", [1, 2])
def test_random_directions_of_that_length_do_less(effects, layer):
    drawn = effects.filter(kind="random", block=layer)
    own = effects.filter(pl.col("kind") == "vector", block=layer, alpha=1.0)["d_wanted"][0]
    assert len(drawn) == RANDOM
    assert drawn["d_wanted"].max() < own / 2


def test_deeper_blocks_do_at_least_as_much_as_the_first(effects):
    at_one = effects.filter(kind="vector", alpha=1.0).sort("block")["d_wanted"].to_list()
    assert min(at_one[1:]) >= at_one[0]
