"""Attribution against plain passes of the whole model, one latent at a time, and what must hold for it.

The official records of attribution are not there; the formula is computed here once more without any of our short cuts.
"""

import golden_sae
import numpy as np
import pytest
import torch
from golden_sae import HERE, HOOK
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.attribution import files as attribution_files
from vlmscope.multimodal_sae.attribution import patching
from vlmscope.multimodal_sae.coder import hooks
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.multimodal_sae.train import states


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return golden_sae.model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def coder():
    return golden_sae.coder().requires_grad_(False)


@pytest.fixture(scope="module")
def inputs(loaded):
    """The golden prompt without a picture."""
    with np.load(HERE / "steering_fp32.npz") as file:
        ids = torch.from_numpy(file["text_input_ids"])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.fixture(scope="module")
def pictured(loaded):
    with np.load(HERE / "steering_fp32.npz") as file, np.load(HERE / "images.npz") as images:
        ids, picture = torch.from_numpy(file["image_input_ids"]), Image.fromarray(images["img3"])
    found = loaded.processor.image_processor(images=[picture], return_tensors="pt")
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **found}


@pytest.fixture(scope="module")
def prompt(loaded, coder, inputs):
    return patching.Prompt(loaded, coder, states.take_of(loaded, hooks.site_of(HOOK)), inputs, 17, 43)


def brute(loaded, coder, inputs, off, at_clean=False, answer=17, baseline=43):
    """D and attribution [T] with one latent off (-1: none), by one pass of the whole model."""
    kept = {}

    def hook(module, args, output):
        pre = torch.relu((output - coder.b_dec) @ coder.encoder.weight.T + coder.encoder.bias)
        without = pre.clone()
        if off >= 0:
            without[..., off] = 0
        outs = []
        for one in (pre, without):
            top = one.topk(coder.config.k, dim=-1)
            dense = torch.zeros_like(one).scatter(-1, top.indices, top.values)
            outs.append((dense @ coder.W_dec + coder.b_dec).detach())
        kept["step"] = outs[0] - outs[1]
        kept["out"] = outs[0 if at_clean else 1].requires_grad_(True)
        return kept["out"]

    handle = loaded.model.model.language_model.layers[2].register_forward_hook(hook)
    logits = loaded.model(**inputs).logits[:, -1]
    handle.remove()
    metric = (logits[:, answer] - logits[:, baseline]).mean()
    gradient = torch.autograd.grad(metric, kept["out"])[0]
    return float(metric.detach()), (kept["step"] * gradient).sum(-1)[0].numpy()


def dense(prompt, latent, values):
    own = prompt.of(latent)
    found = np.zeros(len(prompt.clean), np.float32)
    found[prompt.entries.token[own].numpy()] = values[own.numpy()]
    return found


@pytest.mark.parametrize("mode", ["official", "atp"])
def test_attribution_is_the_formula_computed_pass_by_pass(prompt, loaded, coder, inputs, mode):
    found = prompt.attributed(mode, prompt.latents)
    effects = prompt.off(prompt.latents)
    clean = brute(loaded, coder, inputs, -1)[0]
    assert prompt.plain[0] == pytest.approx(clean, rel=1e-4)
    most = np.abs(found).max()
    for place, latent in list(enumerate(prompt.latents))[::5]:
        metric, wanted = brute(loaded, coder, inputs, latent, at_clean=mode == "atp")
        np.testing.assert_allclose(dense(prompt, latent, found), wanted, rtol=1e-3, atol=1e-4 * most)
        if mode == "official":
            assert effects[place] == pytest.approx(clean - metric, abs=1e-4)


def test_latents_that_are_active_nowhere_have_no_attribution(prompt, loaded, coder, inputs):
    silent = next(k for k in range(coder.config.latents) if k not in prompt.latents)
    metric, wanted = brute(loaded, coder, inputs, silent)
    assert not wanted.any() and metric == pytest.approx(prompt.plain[0], rel=1e-4)


def test_attribution_about_a_picture_is_the_formula_too(loaded, coder, pictured):
    take = states.take_of(loaded, hooks.site_of(HOOK))
    prompt = patching.Prompt(loaded, coder, take, pictured, 17, 43, rows=4)
    counts = prompt.entries.latent.bincount(minlength=128)
    some = [*counts.argsort(descending=True)[[0, 7]].tolist(), prompt.latents[-1]]
    found = prompt.attributed("official", some)
    for latent in some:
        wanted = brute(loaded, coder, pictured, latent)[1]
        np.testing.assert_allclose(dense(prompt, latent, found), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    other = ~np.isin(prompt.entries.latent.numpy(), some)
    assert not found[other].any()


def test_the_sum_over_all_latents_and_the_bias_is_the_gradient_times_the_reconstruction(loaded, coder, inputs):
    take = states.take_of(loaded, hooks.site_of(HOOK))
    prompt = patching.Prompt(loaded, coder, take, inputs, 17, 43, refill=False)
    gradient = prompt.plain[1]
    total = prompt.attributed("atp", prompt.latents).sum() + float((gradient @ coder.b_dec).sum())
    assert total == pytest.approx(float((gradient * prompt.clean).sum()), rel=1e-4)


def test_better_ways_come_closer_to_the_true_effect(prompt):
    effects = prompt.off(prompt.latents)
    modes = ("official", "atp", "trapezoid", "integrated")
    sums = {}
    for mode in modes:
        values = prompt.attributed(mode, prompt.latents)
        sums[mode] = np.array([values[prompt.of(one).numpy()].sum() for one in prompt.latents])
    alike = {mode: np.corrcoef(sums[mode], effects)[0, 1] for mode in modes}
    assert alike["trapezoid"] > max(alike["official"], alike["atp"])
    assert np.abs(sums["integrated"] - effects).max() < 0.01 * np.abs(effects).max()


@pytest.mark.parametrize("variant", ["topk", "groupmax", "jumprelu"])
def test_the_next_latent_takes_the_place_of_the_one_that_is_off(variant):
    coder = SparseCoder(Config(8, 32, 4, variant), seed=1).requires_grad_(False).eval()
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    found = patching.entries(coder, x)
    clean = coder.decode(*coder.select(coder.pre(x)))
    assert len(found.token) > 6
    for place, step in enumerate(found.steps(coder.W_dec)):
        token, pre = int(found.token[place]), coder.pre(x)
        pre[:, found.latent[place]] = 0
        torch.testing.assert_close(clean[token] - coder.decode(*coder.select(pre))[token], step, atol=1e-5, rtol=1e-4)


def test_answer_and_baseline_are_pieces_of_the_vocabulary_or_the_likeliest_tokens(loaded, inputs):
    known = loaded.processor.tokenizer.convert_ids_to_tokens([17, 43])
    assert attribution_files.tokens(loaded, inputs, *known) == (17, 43)
    with torch.inference_mode():
        likely = loaded.model(**inputs).logits[0, -1].topk(3).indices.tolist()
    assert attribution_files.tokens(loaded, inputs, "", "") == tuple(likely[:2])
    first = loaded.processor.tokenizer.convert_ids_to_tokens(likely[0])
    assert attribution_files.tokens(loaded, inputs, "", first) == (likely[1], likely[0])
    with pytest.raises(VlmscopeError, match="vocabulary"):
        attribution_files.tokens(loaded, inputs, "no such piece", "")


def test_parts_of_a_prompt(loaded, pictured):
    ids = pictured["input_ids"][0]
    found = attribution_files.parts(loaded, ids)
    image = (ids == loaded.family.image_token(loaded.config)).numpy()
    np.testing.assert_array_equal(found == "image", image)
    last = np.flatnonzero(image)[-1]
    behind = loaded.family.template.rpartition("{prompt}")[2]
    tail = len(loaded.processor.tokenizer(behind, add_special_tokens=False)["input_ids"])
    assert (found == "text").sum() == len(ids) - last - 1 - tail > 0
    assert not (found[: last + 1] == "text").any() and (found[len(ids) - tail :] == "other").all()


def test_the_largest_latents_alone_are_looked_at(prompt):
    told = {"candidates": 5, "mode": "official", "compared": ["atp"], "points": 3}
    latents, values, effects = attribution_files.about(prompt, told)
    sums = np.bincount(prompt.entries.latent.numpy(), prompt.attributed("atp", prompt.latents), 128)
    assert latents == sorted(np.argsort(-np.abs(sums))[:5].tolist()) and len(effects) == 5
    assert set(values) == {"official", "atp"}
    assert not values["official"][~np.isin(prompt.entries.latent.numpy(), latents)].any()
