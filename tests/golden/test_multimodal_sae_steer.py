"""Steering against the official code (golden README: steering_fp32.npz), and what must hold for every clamp."""

import golden_sae
import numpy as np
import pytest
import torch
from golden_sae import HERE, HOOK
from PIL import Image

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder import hooks
from vlmscope.multimodal_sae.steer import clamping
from vlmscope.multimodal_sae.steer.clamping import Clamp
from vlmscope.multimodal_sae.train import states


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "steering_fp32.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return golden_sae.model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def coder():
    return golden_sae.coder().requires_grad_(False)


@pytest.fixture(scope="module")
def take(loaded):
    return states.take_of(loaded, hooks.site_of(HOOK))


def prompt(loaded, golden, case):
    ids = torch.from_numpy(golden[f"{case}_input_ids"])
    if case != "image":
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with np.load(HERE / "images.npz") as file:
        picture = Image.fromarray(file["img3"])
    found = loaded.processor.image_processor(images=[picture], return_tensors="pt")
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **found}


def generated(loaded, inputs, count=12):
    told = {"max_new_tokens": count, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    with torch.inference_mode():
        found = loaded.model.generate(**inputs, **told, pad_token_id=0, eos_token_id=None)
    return found.sequences[0, inputs["input_ids"].shape[1] :].numpy(), torch.stack(found.logits)[:, 0].numpy()


@pytest.mark.parametrize("case", ["text", "image", "weak"])
def test_tokens_logits_and_states_are_the_official_ones(loaded, coder, take, golden, case):
    inputs = prompt(loaded, golden, case)
    assert inputs["input_ids"].shape[1] == golden[f"{case}_seq"][1]
    latent, value = golden[f"{case}_feature_k"].tolist()
    seen = []
    with clamping.clamped(loaded, coder, take, [Clamp(int(latent), value)], inputs):
        site = loaded.family.site(take.site)
        with taps.reading(loaded, site, take.layers, lambda layer, x: seen.append(x[0].numpy().copy())):
            tokens, logits = generated(loaded, inputs)
    np.testing.assert_array_equal(tokens, golden[f"{case}_steer_new"])
    np.testing.assert_allclose(logits, golden[f"{case}_steer_logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen[0][-8:], golden[f"{case}_prefill_out_last8"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen[0].mean(0), golden[f"{case}_prefill_out_mean"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen[1], golden[f"{case}_decode1_out"], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(generated(loaded, inputs)[0], golden[f"{case}_orig_new"])


@pytest.mark.parametrize("case", ["text", "image"])
def test_many_clamps_in_one_run_are_those_of_runs_alone(loaded, coder, take, golden, case):
    inputs = prompt(loaded, golden, case)
    latent, value = golden[f"{case}_feature_k"].tolist()
    clamps = [Clamp(mode="none"), Clamp(int(latent), value), Clamp(7, 3.0, "keep_error", "all"), Clamp(9, 5.0, "add")]
    found = {clamp: tokens for clamp, _, tokens in clamping.written(loaded, coder, take, inputs, clamps, 12, 3)}
    stops = {loaded.model.generation_config.eos_token_id, loaded.processor.tokenizer.eos_token_id}
    for number, official in ((0, golden[f"{case}_orig_new"]), (1, golden[f"{case}_steer_new"])):
        end = next((k for k, one in enumerate(official.tolist()) if one in stops), len(official))
        assert found[number] == official[:end].tolist()
    for number in (2, 3):
        alone = list(clamping.written(loaded, coder, take, inputs, [clamps[number]], 12, 1))
        assert alone[0][2] == found[number]


def logits(loaded, coder, take, inputs, clamp):
    with clamping.clamped(loaded, coder, take, [clamp], inputs):
        return generated(loaded, inputs, 4)[1]


@pytest.mark.parametrize("case", ["text", "image"])
def test_clamps_that_change_nothing(loaded, coder, take, golden, case):
    inputs = prompt(loaded, golden, case)
    states_of = []
    site = loaded.family.site(take.site)
    with taps.reading(loaded, site, take.layers, lambda layer, x: states_of.append(x[0].clone())):
        clean = generated(loaded, inputs, 4)[1]
    before = coder.pre(states_of[0])
    kept = coder.encode(states_of[0]).indices.unique()
    silent = next(k for k in range(coder.config.latents) if k not in set(kept.tolist()))
    rebuilt = logits(loaded, coder, take, inputs, Clamp())
    assert np.abs(rebuilt - clean).max() > 1e-3
    np.testing.assert_allclose(logits(loaded, coder, take, inputs, Clamp(silent, 0.0)), rebuilt, atol=1e-5)
    last = int(kept[0])
    equal = Clamp(last, float(before[-1, last]), positions="last")
    np.testing.assert_allclose(logits(loaded, coder, take, inputs, equal), rebuilt, atol=1e-5)
    for still in (Clamp(mode="keep_error"), Clamp(silent, 0.0, "keep_error"), Clamp(last, 0.0, "add")):
        np.testing.assert_allclose(logits(loaded, coder, take, inputs, still), clean, atol=1e-5)


def test_only_chosen_positions_are_held(loaded, coder, take, golden):
    inputs = prompt(loaded, golden, "image")
    picture = inputs["input_ids"][0] == loaded.family.image_token(loaded.config)
    for positions, wanted in (("image", picture), ("text", ~picture), ("prefill", picture | True)):
        found = clamping.places(loaded, inputs, [Clamp(3, 5.0, positions=positions)])[0]
        torch.testing.assert_close(found, wanted)
    assert clamping.places(loaded, inputs, [Clamp(3, positions="last")])[0].nonzero().tolist() == [[1188]]
    assert not clamping.places(loaded, inputs, [Clamp()]).any()


def test_latents_that_are_not_there_and_wrong_numbers_of_rows_are_refused(loaded, coder, take, golden):
    inputs = prompt(loaded, golden, "text")
    for clamps in ([Clamp(128)], [Clamp(1), Clamp(2)]):
        with pytest.raises(VlmscopeError), clamping.clamped(loaded, coder, take, clamps, inputs):
            pass
