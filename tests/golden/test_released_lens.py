"""The logit lens against the official block wrapper on a tiny LLaVA-NeXT (golden README: logit_lens)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_llava_next import DOMAINS, golden, loaded, padded

from vlmscope import lens
from vlmscope.capture import taps

__all__ = ["golden", "loaded"]

HERE = Path(__file__).parent / "mmneuron" / "tiny_llava_next"
# The official names of the four channels.
OFFICIAL = {"block": "block", "attention": "attn", "middle": "mid", "mlp": "mlp"}


@pytest.fixture(scope="module")
def official():
    with np.load(HERE / "logit_lens.npz") as file:
        return dict(file)


def read(loaded, batch, k=10):
    return lens.through(loaded, batch, batch.inputs["attention_mask"].bool(), k)


@pytest.mark.parametrize("domain", DOMAINS)
def test_entropy_and_top_tokens_equal_the_official_ones(domain, golden, loaded, official):
    found = read(loaded, padded(golden, domain, [0]))["block"]
    np.testing.assert_allclose(found.entropy.numpy(), official[f"lens/{domain}/entropy"], atol=2e-6)
    np.testing.assert_array_equal(found.tokens.numpy(), official[f"lens/{domain}/top10_ids"])
    percent = (100 * found.probability).to(torch.int8).numpy()
    np.testing.assert_array_equal(percent, official[f"lens/{domain}/top10_percent"])


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_last_layer_is_the_model_itself(domain, golden, loaded, official):
    batch, seen = padded(golden, domain, [0]), {}
    with torch.inference_mode(), taps.reading(loaded, loaded.family.site("resid_post"), [3], seen.__setitem__):
        own = loaded.model(**batch.inputs, use_cache=False).logits
        through = lens.logits(loaded, seen[3])
    assert torch.equal(through, own)
    np.testing.assert_allclose(through[0].numpy(), official[f"lens/{domain}/plain_logits"], atol=1e-5)


@pytest.mark.parametrize("channel", sorted(OFFICIAL))
def test_every_channel_reads_what_the_official_one_reads(channel, golden, loaded, official):
    scores = torch.from_numpy(official[f"lens/ad/{OFFICIAL[channel]}_logits"])
    found = read(loaded, padded(golden, "ad", [0]))[channel]
    share = scores.softmax(-1)
    assert torch.allclose(found.entropy, torch.special.entr(share).sum(-1), atol=1e-5)
    assert torch.allclose(found.probability, share.topk(10).values, atol=1e-5)
    assert torch.allclose(share.gather(-1, found.tokens), found.probability, atol=1e-5)


def test_a_padded_batch_reads_the_same_as_single_samples(golden, loaded, official):
    found = read(loaded, padded(golden, "ad", range(6)))["block"]
    length = official["lens/ad/entropy"].shape[1]
    np.testing.assert_allclose(found.entropy.numpy()[:, :length], official["lens/ad/entropy"], atol=1e-5)
