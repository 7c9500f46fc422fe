"""The logit lens on every family that writes text: the last layer is the model itself, batches equal singles."""

import pytest
import torch
from test_families import bench

from vlmscope import lens
from vlmscope.capture import run
from vlmscope.errors import VlmscopeError
from vlmscope.models import base
from vlmscope.models.inputs import Batch

WRITING = [name for name in base.names() if base.family(name).head]
every_writer = pytest.mark.parametrize("family", WRITING)


def batch_of(set_up, numbers):
    return Batch(tuple(numbers), set_up.padded(numbers))


def read(set_up, numbers, k=5, **rest):
    batch = batch_of(set_up, numbers)
    return lens.through(set_up.loaded, batch, batch.inputs["attention_mask"].bool(), k, **rest)


@every_writer
def test_the_last_layer_of_the_blocks_gives_the_model_s_own_logits(family):
    loaded, batch = bench(family).loaded, batch_of(bench(family), [2])
    seen = {}
    site = loaded.family.site("resid_post")
    last = site.layers(loaded.config) - 1
    with torch.inference_mode(), lens.taps.reading(loaded, site, [last], seen.__setitem__):
        own = loaded.model(**batch.inputs, use_cache=False).logits
    assert torch.equal(lens.logits(loaded, seen[last]), own)


@every_writer
def test_every_channel_is_read_at_every_layer_and_batches_equal_singles(family):
    set_up = bench(family)
    together, alone = read(set_up, range(4)), [read(set_up, [number]) for number in range(4)]
    layers = set_up.loaded.family.site("resid_post").layers(set_up.loaded.config)
    for channel in lens.CHANNELS:
        entropy = torch.cat([one[channel].entropy for one in alone], 1)
        assert entropy.shape == together[channel].entropy.shape and len(entropy) == layers
        assert torch.allclose(together[channel].entropy, entropy, atol=2e-5)
        share = torch.cat([one[channel].probability for one in alone], 1)
        assert torch.allclose(together[channel].probability, share, atol=1e-5)


@every_writer
def test_channels_of_one_layer_add_up(family):
    """The middle of a block is its input and the attention's output; the block's output is that and the MLP's."""
    set_up = bench(family)
    sums = {"whole": ("resid_pre", "attn_out", "mlp_out"), "block": ("resid_post",)}
    found = read(set_up, [1], channels=sums)
    assert torch.allclose(found["whole"].entropy, found["block"].entropy, atol=1e-4)
    assert torch.equal(found["whole"].tokens[..., 0], found["block"].tokens[..., 0])


@every_writer
def test_a_vector_on_the_attention_s_output_is_seen_by_the_lens_and_gone_afterwards(family):
    set_up = bench(family)
    loaded = set_up.loaded
    width = loaded.family.site("attn_out").width(loaded.config)
    vector = torch.randn(width, generator=torch.Generator().manual_seed(3))
    before = read(set_up, [0])
    with lens.shifted(loaded, {1: vector}):
        within = read(set_up, [0])
    with lens.shifted(loaded, {1: torch.zeros(width)}):
        nothing = read(set_up, [0])
    for channel in lens.CHANNELS:
        assert torch.equal(before[channel].entropy[0], within[channel].entropy[0])
        assert torch.equal(before[channel].entropy, nothing[channel].entropy)
        assert torch.equal(before[channel].entropy, read(set_up, [0])[channel].entropy)
    for channel in ("attention", "middle", "block"):
        assert not torch.allclose(before[channel].entropy[1], within[channel].entropy[1], atol=1e-3)


def test_a_family_without_text_has_no_lens():
    with pytest.raises(VlmscopeError, match="writes no text"):
        lens.read(bench("clip").loaded, torch.zeros(1, 8), 1)


@pytest.mark.parametrize("site", ["mlp_gate", "vision_resid", "logits"])
def test_only_states_of_the_stream_s_width_are_read(site):
    with pytest.raises(VlmscopeError, match="residual stream"):
        read(bench("llava"), [0], channels={"x": (site,)})


def test_a_vector_for_a_layer_that_is_not_there_is_refused():
    with (
        pytest.raises(VlmscopeError, match=r"no layers \[9\]"),
        lens.shifted(bench("llava").loaded, {9: torch.zeros(8)}),
    ):
        pass


def test_parts_give_what_the_whole_gives(monkeypatch):
    whole = read(bench("llava"), [0, 1])
    monkeypatch.setattr(lens, "MOST_VALUES", 300)
    parts = read(bench("llava"), [0, 1])
    for channel in lens.CHANNELS:
        assert torch.allclose(whole[channel].entropy, parts[channel].entropy, atol=1e-6)
        assert torch.equal(whole[channel].tokens, parts[channel].tokens)


def test_a_token_that_is_ruled_out_leaves_the_entropy_finite():
    entropy, tokens, share = lens._read(torch.tensor([[0.0, 0.0, -torch.inf]]), 2)
    assert entropy.item() == pytest.approx(0.6931472, abs=1e-6)
    assert sorted(tokens[0].tolist()) == [0, 1] and share[0].tolist() == [0.5, 0.5]


def test_the_batch_runs_once(monkeypatch):
    passes, own = [], run.forward
    monkeypatch.setattr(lens.run, "forward", lambda *rest: passes.append(1) or own(*rest))
    read(bench("llava"), [0])
    assert len(passes) == 1
