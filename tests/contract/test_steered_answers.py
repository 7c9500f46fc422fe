"""Answers under many conditions at once are those of a hook on the block, one condition and one question at a time."""

import numpy as np
import pytest
import test_families
import torch

from vlmscope import replay
from vlmscope.models import answer, inputs
from vlmscope.pushes import Push, pushed
from vlmscope.samples import Sample
from vlmscope.xl_vlms.steer import answers as steer_answers
from vlmscope.xl_vlms.steer.conditions import Condition
from vlmscope.xl_vlms.steer.schemas import STEERED

NEW = 4
every_steered = pytest.mark.parametrize("family", ["llava", "idefics2", "molmo", "qwen2_vl"])


def direction(loaded, seed, scale=4.0):
    width = loaded.family.site("resid_post").width(loaded.config)
    return (scale * np.random.default_rng(seed).standard_normal(width)).astype(np.float32)


def conditions(loaded):
    """All blocks, positions, strengths; gates that are open for some questions."""
    layers = loaded.family.site("resid_post").layers(loaded.config)
    every = [Condition("none")]
    for block in range(layers):
        for positions in ("all", "generated", "last_prompt", "from"):
            own = direction(loaded, block)
            every.append(Condition("vector", "v", block, 1.0 + block, positions, direction=own))
    zero = direction(loaded, 9)
    return [*every, Condition("alpha", "v", layers - 1, 0.0, direction=zero)]


@pytest.fixture
def asked(family):
    bench = test_families.bench(family)
    template = bench.loaded.family.template
    texts = [template.format(prompt=f"<image>\n{test_families.question(number)}") for number in range(4)]
    picture = test_families.picture(bench.sizes[0], 0)
    rows = [
        Sample(f"q-{number}", "d", "val", number, "", (), *picture.size, "", (), "{}") for number in range(len(texts))
    ]
    return bench.loaded, rows, texts, picture


def one_by_one(loaded, text, picture, one):
    tensors = inputs.encode(loaded, [text], [picture], "left")
    image = tensors["input_ids"][0] == loaded.family.image_token(loaded.config)
    behind = int(image.nonzero().max()) + 1
    rows = [[]] if one.direction is None else [[Push(one.block, one.direction, one.alpha, one.positions, behind)]]
    with pushed(loaded, rows, tensors["attention_mask"]):
        return answer.text_of(loaded, answer.new_tokens(loaded, tensors, NEW)[0])


@every_steered
def test_shared_prompts_give_the_answers_of_plain_hooks(asked):
    loaded, rows, texts, picture = asked
    every = conditions(loaded)
    expected = [one_by_one(loaded, text, picture, one) for one in every for text in texts]
    # Counted behind the first pass, in which the library sets up hooks of its own.
    before = test_families.hooks(loaded.model)
    parts = list(steer_answers.answers(loaded, rows, texts, lambda one: picture, every, NEW, 3))
    found = steer_answers.table(parts, every, rows)
    assert dict(found.schema) == STEERED
    assert found["prediction"].to_list() == expected
    assert found["sample"].to_list() == [one.sample for one in rows] * len(every)
    none, zero = (found.filter(condition=number)["prediction"].to_list() for number in (0, len(every) - 1))
    assert none == zero
    assert len({tuple(part["prediction"]) for _, part in found.group_by("condition")}) >= 4
    assert test_families.hooks(loaded.model) == before


@every_steered
def test_a_gate_steers_the_questions_near_its_concepts_alone(asked):
    loaded, rows, texts, picture = asked
    block = loaded.family.site("resid_post").layers(loaded.config) - 1
    tensors = inputs.encode(loaded, texts, [picture] * len(texts), "left")
    ends = replay.prefix(loaded, tensors, [block]).ends(block).numpy()
    gate = ends, np.array([True, False, False, True])
    plain = {"vector": "v", "block": block, "alpha": 3.0, "direction": direction(loaded, 1)}
    every = [Condition("none"), Condition("vector", **plain), Condition("gated", **plain, concepts=gate)]
    parts = list(steer_answers.answers(loaded, rows, texts, lambda one: picture, every, NEW, 8))
    found = steer_answers.table(parts, every, rows)
    none, all_of, gated = (found.filter(condition=number) for number in range(3))
    assert gated["steered"].to_list() == [True, False, False, True] and all_of["steered"].all()
    assert not none["steered"].any()
    for row, is_open in enumerate(gate[1]):
        assert gated["prediction"][row] == (all_of if is_open else none)["prediction"][row]
    assert all_of["prediction"].to_list() != none["prediction"].to_list()


@every_steered
def test_an_unsteered_run_afterwards_is_the_same_and_hidden_states_can_be_asked_for(asked):
    loaded, rows, texts, picture = asked
    tensors = inputs.encode(loaded, texts, [picture] * len(texts), "left")
    with torch.inference_mode():
        before = loaded.model(**tensors, output_hidden_states=True)
    list(steer_answers.answers(loaded, rows, texts, lambda one: picture, conditions(loaded), NEW, 8))
    with torch.inference_mode():
        after = loaded.model(**tensors, output_hidden_states=True)
    assert torch.equal(before.logits, after.logits)
    assert len(after.hidden_states) == len(before.hidden_states) > 1
    assert all(torch.equal(one, other) for one, other in zip(before.hidden_states, after.hidden_states, strict=True))
