"""Shuffled image tokens: greedy tokens and activations against those of the released code (golden README)."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope.capture import taps
from vlmscope.edits import shuffled
from vlmscope.mm_neurons.image import shuffle
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.mm_neurons.rank.lists import Neurons
from vlmscope.mm_neurons.rank.ranking import Target
from vlmscope.models.base import family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports
from vlmscope.store.weights import Weights

HERE = Path(__file__).parent / "mm_neurons"
IMAGES = (1, 2)


@pytest.fixture(scope="module")
def llava():
    """The tiny LLaVA; its image token, 0, does not occur in the folded text."""
    slim_imports()
    from transformers import LlavaForConditionalGeneration

    kind = family("llava_llama2")
    model = LlavaForConditionalGeneration.from_pretrained(HERE / "llava_tiny", dtype=torch.float32)
    loaded = Loaded(model.eval().requires_grad_(False), None, kind, {})
    told = json.loads((HERE / "llava_tiny" / "prompt.json").read_text())["input_ids_with_minus200"]
    ids = [part for one in told for part in ([0] * 256 if one == -200 else [one])]
    with np.load(HERE / "llava_tiny" / "pixels.npz") as file:
        pixels = torch.from_numpy(file["pixel_values"])
    with np.load(HERE / "llava_find.npz") as file:
        return loaded, tensors(ids, pixels), dict(file)


@pytest.fixture(scope="module")
def owl():
    """The tiny mPLUG-Owl2."""
    slim_imports()
    from vlmscope.models.owl2.modeling import MPLUGOwl2ForConditionalGeneration
    from vlmscope.models.owl2.processing import expanded

    model = MPLUGOwl2ForConditionalGeneration.from_pretrained(HERE / "mplug_owl2_tiny", dtype=torch.float32)
    loaded = Loaded(model.eval().requires_grad_(False), None, family("mplug_owl2"), {})
    with np.load(HERE / "mplug_owl2.npz") as file:
        golden = dict(file)
    return loaded, tensors(expanded(golden["input_ids"][0].tolist(), -200, 65), golden["pixel_values"]), golden


def tensors(ids, pixels):
    ids = torch.tensor([ids, ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.as_tensor(pixels)}


def rows(inputs, *numbers):
    return {name: value[[number - 1 for number in numbers]] for name, value in inputs.items()}


def orders(golden, *numbers):
    return [golden[f"act_fn_shuffle__img{number}__idx"] for number in numbers]


@contextlib.contextmanager
def gates(loaded):
    """The gate of every layer at every forward: layer -> tensors [sample, token, unit]."""
    seen = {}
    site = loaded.family.site("mlp_gate")
    layers = range(site.layers(loaded.config))
    with taps.reading(loaded, site, layers, lambda layer, value: seen.setdefault(layer, []).append(value)):
        yield seen


def emitting(golden, number):
    return golden[f"act_fn_shuffle__img{number}__last_activation"].astype(np.float32)


def last(seen, row):
    """[step, layer, unit] at the last position of each forward."""
    return np.stack([np.stack([one[row, -1].numpy() for one in layer]) for layer in seen.values()], 1)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("numbers", [(1,), (2,), IMAGES])
def test_llava_writes_the_official_tokens_from_the_official_activations(llava, numbers, cache):
    loaded, inputs, golden = llava
    given = rows(inputs, *numbers)
    steps = 50 if cache else 6
    with torch.inference_mode(), shuffled(loaded, given, orders(golden, *numbers)), gates(loaded) as seen:
        written = loaded.model.generate(**given, max_new_tokens=steps, do_sample=False, use_cache=cache)
    for row, number in enumerate(numbers):
        wanted = golden[f"act_fn_shuffle__img{number}__out_ids"][:steps]
        assert written[row, given["input_ids"].shape[1] :].tolist() == wanted.tolist()
        np.testing.assert_allclose(last(seen, row), emitting(golden, number)[:steps], atol=1e-3)
        image = np.stack([seen[layer][0][row, 52:308].numpy() for layer in seen])
        official = golden[f"act_fn_shuffle__img{number}__image_token_activation"].astype(np.float32)
        np.testing.assert_allclose(image, official, atol=1e-3)


def test_one_pass_over_prompt_and_output_gives_the_official_activations(llava):
    loaded, inputs, golden = llava
    written = torch.from_numpy(np.stack([golden[f"act_fn_shuffle__img{number}__out_ids"] for number in IMAGES]))
    ids = torch.cat([inputs["input_ids"], written], 1)
    given = inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode(), shuffled(loaded, given, orders(golden, *IMAGES)), gates(loaded) as seen:
        loaded.model(**given, use_cache=False)
    for row, number in enumerate(IMAGES):
        found = np.stack([seen[layer][0][row, inputs["input_ids"].shape[1] - 1 : -1].numpy() for layer in seen], 1)
        np.testing.assert_allclose(found, emitting(golden, number), atol=1e-3)


@pytest.mark.parametrize("numbers", [(1,), (2,), IMAGES])
def test_mplug_owl2_keeps_its_flags_and_gives_the_official_logits(owl, numbers):
    loaded, inputs, golden = owl
    given = rows(inputs, *numbers)
    with torch.inference_mode(), shuffled(loaded, given, orders(golden, *numbers)), gates(loaded) as seen:
        logits = loaded.model(**given).logits
        # The released code fails at the second step; ours goes on.
        written = loaded.model.generate(**given, max_new_tokens=3, do_sample=False)
    for row, number in enumerate(numbers):
        key = f"act_fn_shuffle__img{number}__"
        np.testing.assert_allclose(logits[row], golden[key + "logits"][0], atol=2e-5)
        assert written[row, given["input_ids"].shape[1] :].tolist()[0] == golden[key + "out_ids"][0]
        first = {layer: values[:1] for layer, values in seen.items()}
        np.testing.assert_allclose(last(first, row), emitting(golden, number), atol=1e-3)
    assert written.shape[1] == given["input_ids"].shape[1] + 3


@pytest.mark.parametrize("variant", ["act_fn", "act_fn_shuffle", "down_proj"])
def test_units_at_image_tokens_are_the_official_ones_in_the_order_of_the_picture(llava, variant):
    loaded, inputs, golden = llava
    kind = "down_proj_input" if variant == "down_proj" else "act_fn"
    wanted = {kind: {"1": {}, "2": {}}}
    for number, nouns in ((1, ("dogs", "train", "w70")), (2, ("boat", "dogs", "man", "w58"))):
        for noun in nouns:
            layer, unit = golden[f"{variant}__img{number}__noun_{noun}__mm_neurons"].T
            wanted[kind][str(number)][noun] = Neurons(layer, unit, np.zeros(len(layer), np.float32))
    chosen = orders(golden, *IMAGES) if variant == "act_fn_shuffle" else ()
    found = image_units.gather(loaded, Batch((0, 1), inputs), ["1", "2"], wanted, chosen)
    assert len(found.units) == 7
    for one in found.units:
        neurons = wanted[kind][one.sample][one.noun]
        official = golden[f"{variant}__img{one.sample}__image_token_activation"].astype(np.float32)
        if chosen:
            restored = np.zeros_like(official)
            restored[:, chosen[int(one.sample) - 1]] = official
            official = restored
        np.testing.assert_allclose(one.values, official[neurons.layer, :, neurons.unit], atol=1e-3)
        assert found.layouts[0].grid == (16, 16)


def test_neurons_of_nouns_in_shuffled_pictures_are_the_official_ones(llava):
    loaded, inputs, golden = llava
    told = json.loads((HERE / "llava_find.json").read_text())
    tokens = [golden[f"act_fn_shuffle__img{number}__out_ids"].tolist() for number in IMAGES]
    words = json.loads((HERE / "llava_tiny" / "vocab.json").read_text())["words"]
    ids = {word: number for number, word in enumerate(words)}
    targets = [
        Target(str(number), noun, tokens[number - 1].index(ids[noun]), -1, (ids[noun],), True)
        for number in IMAGES
        for noun in told[f"act_fn_shuffle/img{number}/nouns"]
        if ids[noun] in tokens[number - 1]
    ]
    places = [(int(target.sample) - 1, target.row) for target in targets]
    batch, chosen = Batch((0, 1), inputs), orders(golden, *IMAGES)
    found = shuffle.activations(loaded, batch, chosen, tokens, places, ["act_fn"])
    for target, value in zip(targets, found["act_fn"], strict=True):
        official = emitting(golden, int(target.sample))[target.row]
        np.testing.assert_allclose(value.float(), official, atol=1e-3)
    settings = {"precision": "official_fp16", "fold_norm": False, "keep": 144, "keep_others": 10, "seed": 0}
    projections = shuffle.Projections(Weights(HERE / "llava_tiny", "float32"), loaded.family, 3, 48, settings)
    entries = list(shuffle.entries(found, targets, projections, "free.0", settings))
    assert {one.method for one in entries} == {f"{name}.free.0" for name in shuffle.METHODS[:3]}
    best = {(one.sample, one.noun): one.neurons for one in entries if one.method == "contribution.free.0"}
    assert len(best) == len(targets) == 7
    for (sample, noun), neurons in best.items():
        official = golden[f"act_fn_shuffle__img{sample}__noun_{noun}__mm_neurons"]
        own = list(zip(neurons.layer.tolist(), neurons.unit.tolist(), strict=True))
        assert set(own[:10]) == set(map(tuple, official[:10].tolist()))
