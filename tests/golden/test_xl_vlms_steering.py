"""Steering a tiny LLaVA: tokens and logits of the official hooks, and what has to hold exactly (xl_vlms.md 11)."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlmscope.models.base import family
from vlmscope.models.load import Loaded, slim_imports
from vlmscope.pushes import Push, pushed

HERE = Path(__file__).parent / "xl_vlms" / "tiny_llava"
RULES = {"": "all", "_only_generated": "generated", "_last_prompt_token": "last_prompt", "_start_idx": "from"}
NAME = re.compile(r"steer/shift_hidden_states_add(\w*)\|start=(\d+)\|alpha=([\d.]+)\|layer=(\d+)/sequences")


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded():
    slim_imports()
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(HERE, dtype=torch.float32).eval().requires_grad_(False)
    return Loaded(model, SimpleNamespace(), family("llava"), {})


@pytest.fixture(scope="module")
def inputs(golden):
    ids, pixels = (torch.from_numpy(golden[name]) for name in ("input_ids", "pixel_values"))
    return {"input_ids": ids, "pixel_values": pixels, "attention_mask": torch.ones_like(ids)}


@torch.inference_mode()
def written(loaded, inputs, *pushes, use_cache=True):
    """Tokens and the logits of every step."""
    with pushed(loaded, [pushes], inputs["attention_mask"]):
        found = loaded.model.generate(
            **inputs,
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            use_cache=use_cache,
            return_dict_in_generate=True,
            output_logits=True,
        )
    return found.sequences, torch.stack(found.logits, 1)


def variants(golden):
    for key in golden:
        if match := NAME.fullmatch(key):
            yield key.removesuffix("/sequences"), RULES[match[1]], int(match[2]), float(match[3]), int(match[4])


@pytest.mark.parametrize("use_cache", [True, False])
def test_every_variant_writes_the_official_tokens_with_the_official_logits(loaded, inputs, golden, use_cache):
    seen, plain = 0, written(loaded, inputs)[0]
    for name, positions, start, alpha, layer in variants(golden):
        push = Push(layer, golden["steering_vector"], alpha, positions, start)
        sequences, logits = written(loaded, inputs, push, use_cache=use_cache)
        np.testing.assert_array_equal(sequences, golden[f"{name}/sequences"], err_msg=name)
        np.testing.assert_allclose(logits[:, [0, -1]], golden[f"{name}/logits_first_last"], atol=1e-5, err_msg=name)
        seen += not torch.equal(sequences, plain)
    assert seen >= 5, "vectors that change nothing prove nothing"


def test_without_a_push_the_official_tokens_are_written(loaded, inputs, golden):
    sequences, logits = written(loaded, inputs)
    np.testing.assert_array_equal(sequences, golden["sequences"])
    np.testing.assert_allclose(logits, golden["logits"], atol=1e-5)


def test_strength_zero_is_no_push_bit_for_bit_and_nothing_stays_behind(loaded, inputs, golden):
    plain = written(loaded, inputs)
    hooks = sum(len(module._forward_hooks) for module in loaded.model.modules())
    for layer in range(3):
        for positions in RULES.values():
            none = written(loaded, inputs, Push(layer, golden["steering_vector"], 0.0, positions, 2))
            assert all(torch.equal(one, other) for one, other in zip(none, plain, strict=True))
            moved = written(loaded, inputs, Push(layer, golden["steering_vector"], 2.0, positions, 2))
            assert not torch.equal(moved[1], plain[1])
    assert all(torch.equal(one, other) for one, other in zip(written(loaded, inputs), plain, strict=True))
    assert sum(len(module._forward_hooks) for module in loaded.model.modules()) == hooks


def test_behind_the_last_block_it_does_not_matter_which_prompt_positions_are_pushed(loaded, inputs, golden):
    ways = [("all", 0), ("last_prompt", 0), ("from", 7)]
    found = [written(loaded, inputs, Push(2, golden["steering_vector"], 1.0, *way)) for way in ways]
    for sequences, logits in found[1:]:
        assert torch.equal(sequences, found[0][0]) and torch.equal(logits, found[0][1])
    below = [written(loaded, inputs, Push(1, golden["steering_vector"], 1.0, *way))[1] for way in ways]
    assert not torch.equal(below[0], below[1])


def test_pushing_what_is_written_alone_leaves_the_first_token_as_it_is(loaded, inputs, golden):
    plain = written(loaded, inputs)[1]
    for layer in range(3):
        pushed_ = written(loaded, inputs, Push(layer, golden["steering_vector"], 2.0, "generated"))[1]
        assert torch.equal(pushed_[:, 0], plain[:, 0])
        assert not torch.equal(pushed_[:, 1], plain[:, 1])


def test_the_first_logits_are_norm_and_head_of_the_pushed_state(loaded, inputs, golden):
    vector = torch.from_numpy(golden["steering_vector"])
    states, norm = [], loaded.model.get_submodule("model.language_model.norm")
    handle = norm.register_forward_pre_hook(lambda module, args: states.append(args[0][:, -1]))
    written(loaded, inputs)
    handle.remove()
    with torch.inference_mode():
        expected = loaded.model.lm_head(norm(states[0] + 2 * vector))
    found = written(loaded, inputs, Push(2, vector, 2.0))[1][:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_pushes_add_up(loaded, inputs, golden):
    vector = golden["steering_vector"]
    one = written(loaded, inputs, Push(1, vector, 3.0))[1]
    two = written(loaded, inputs, Push(1, vector, 1.0), Push(1, vector, 2.0))[1]
    np.testing.assert_allclose(two, one, atol=1e-4)


def test_hidden_states_can_still_be_asked_for_and_show_the_push(loaded, inputs, golden):
    with torch.inference_mode(), pushed(loaded, [[Push(0, golden["steering_vector"])]], inputs["attention_mask"]):
        states = loaded.model(**inputs, output_hidden_states=True).hidden_states
    with torch.inference_mode():
        plain = loaded.model(**inputs, output_hidden_states=True).hidden_states
    assert torch.equal(states[0], plain[0])
    np.testing.assert_allclose(states[1], plain[1].numpy() + golden["steering_vector"], atol=1e-6)
