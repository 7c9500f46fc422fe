"""The lens over a tiny LLaVA as the released page has it, and without its second norm (llava_interp.md 2.8)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope.llava_interp.asking import prompts
from vlmscope.llava_interp.lens import reading as lens_reading
from vlmscope.models.base import family
from vlmscope.models.load import Loaded, slim_imports

HERE = Path(__file__).parent / "llava_interp"
TOLD = json.loads((HERE / "logit_lens.json").read_text())
KIND = family("llava")


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "logit_lens.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded():
    slim_imports()
    from transformers import LlavaForConditionalGeneration

    folder = HERE / "tiny_llava"
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    return Loaded(model, KIND.processor(folder, model.config), KIND, {})


@pytest.fixture(scope="module")
def asked(loaded):
    picture = Image.open(HERE / "coco" / "val2017" / "000000000139.png").convert("RGB")
    return prompts.prepare(loaded, [TOLD["prompt"]], [picture], 1)[0]


@pytest.fixture(scope="module", params=[False, True])
def found(request, loaded, asked):
    return request.param, lens_reading.read(loaded, asked, [3, 4], k=5, twice=request.param)


def same(found, expected):
    """Which positions have the same tokens in the same order."""
    return (found == expected).all(axis=-1)


def test_tokens_are_the_released_ones(golden, found):
    twice, reading = found
    tokens = reading.tokens[:, golden["positions"]]
    # Tokens of equal probability may change places.
    assert same(tokens[:-1], golden["top5_ids_norm_everywhere"][:-1]).mean() > 0.999
    last = golden["top5_ids_norm_everywhere"][-1] if twice else golden["top5_ids_last_correct"]
    assert same(tokens[-1], last).mean() > 0.98
    strings = np.array(TOLD["strings"], dtype=object)[golden["official_top5_string_index"]]
    assert len(strings) == len(tokens) == 33


def test_probabilities_are_the_released_ones(golden, found):
    twice, reading = found
    probs = reading.probs[:, golden["positions"]]
    rows = slice(None) if twice else slice(0, -1)
    np.testing.assert_allclose(probs[rows], golden["official_top5_prob_4dp"][rows], atol=1e-4)
    if not twice:
        np.testing.assert_allclose(probs[-1], golden["top5_prob_last_correct"], atol=1e-5)
        shares = torch.from_numpy(golden["model_logits"]).softmax(-1).topk(5).values
        np.testing.assert_allclose(probs[-1], shares, atol=1e-5)
    assert (np.diff(reading.probs, axis=-1) <= 0).all() and (reading.probs.sum(-1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("found", [False], indirect=True)
def test_the_share_of_a_class_is_that_of_its_likeliest_token(golden, found):
    _, reading = found
    shares = torch.from_numpy(golden["model_logits"]).softmax(-1)
    own = shares[:, [3, 4]].amax(-1)
    np.testing.assert_allclose(reading.share[-1, golden["positions"]], own, atol=1e-5)
    rank = (shares > own[:, None]).sum(-1)
    assert (np.abs(reading.rank[-1, golden["positions"]] - rank.numpy()) <= 1).all()
