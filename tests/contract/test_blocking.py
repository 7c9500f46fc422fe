"""Blocked attention: exactly the named pairs lose their weight, whatever the kernels and wherever padding stands."""

import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image

from vlmscope import sweep
from vlmscope.blocking import Block, blocked
from vlmscope.capture import attention, taps
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer, inputs
from vlmscope.models.base import family
from vlmscope.models.load import Loaded, slim_imports

PROMPTS = ["<image>\nw1 w2 w3", "<image>\nw4 w5 w6 w7 w8 w9"]
FAMILIES = ("llava", "llava_phi")
LAYERS = (1, 2)
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request):
    slim_imports()
    kind = family(request.param)
    return Loaded(*tiny_families.build(kind, tiny_families.BUILDERS[request.param]), kind, {})


def encoded(loaded, prompts, side="left"):
    generator = np.random.default_rng(3)
    pictures = [Image.fromarray(generator.integers(0, 256, (28, 28, 3), dtype=np.uint8)) for _ in prompts]
    tensors = inputs.encode(loaded, prompts, pictures, side=side)
    return tensors | {"position_ids": (tensors["attention_mask"].cumsum(1) - 1).clamp(min=0)}


def logits(loaded, tensors, rows=None):
    """Logits at real positions of every row."""
    blocks = blocked(loaded, rows, tensors["attention_mask"]) if rows else torch.inference_mode()
    with torch.inference_mode(), blocks:
        found = loaded.model(**tensors, use_cache=False).logits
    return [row[real.bool()] for row, real in zip(found, tensors["attention_mask"], strict=True)]


def probabilities(loaded, tensors, rows):
    """Attention of every layer, [sample, head, query, key]."""
    found = {}
    site = loaded.family.site("attn_prob")
    blocks, layers = blocked(loaded, rows, tensors["attention_mask"]), range(site.layers(loaded.config))
    seeing = taps.reading(loaded, site, layers, found.__setitem__)
    with torch.inference_mode(), attention.eager(loaded), blocks, seeing:
        loaded.model(**tensors, use_cache=False)
    return found


def last(loaded, prompt):
    return int(encoded(loaded, [prompt])["attention_mask"].sum()) - 1


def test_blocked_pairs_have_no_weight_and_others_share_it(loaded):
    tensors = encoded(loaded, PROMPTS[:1])
    end = last(loaded, PROMPTS[0])
    found = probabilities(loaded, tensors, [[Block([end, end - 2], [1, 2, 3], LAYERS)]])
    for layer, value in found.items():
        weight = value[0][:, [end, end - 2]][:, :, [1, 2, 3]]
        assert (weight == 0).all() == (layer in LAYERS)
        torch.testing.assert_close(value.sum(-1), torch.ones_like(value[..., 0]))


def test_fused_and_eager_attention_agree(loaded):
    tensors = encoded(loaded, PROMPTS[:1])
    end = last(loaded, PROMPTS[0])
    rows = [[Block([end], [1, 2], LAYERS), Block([4, 5], [0, 1], (0,))]]
    fused = logits(loaded, tensors, rows)[0]
    with attention.eager(loaded):
        eager = logits(loaded, tensors, rows)[0]
        plain = logits(loaded, tensors)[0]
    torch.testing.assert_close(fused, eager, **CLOSE)
    assert (eager - plain).abs()[end].max() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_rows_of_a_padded_batch_are_blocked_as_alone(loaded, side, kind):
    rows = [[Block([last(loaded, one)], [2, 3], LAYERS)] for one in PROMPTS]
    tensors = encoded(loaded, PROMPTS, side)
    pixels = tensors["pixel_values"]
    mode = attention.eager(loaded) if kind == "eager" else torch.inference_mode()
    with mode:
        together = logits(loaded, tensors, rows)
        for place, prompt in enumerate(PROMPTS):
            alone = encoded(loaded, [prompt]) | {"pixel_values": pixels[place : place + 1]}
            torch.testing.assert_close(together[place], logits(loaded, alone, [rows[place]])[0], **CLOSE)
            assert (together[place] - logits(loaded, alone)[0]).abs().max() > 1e-3


def test_only_what_may_change_does(loaded):
    tensors = encoded(loaded, PROMPTS[:1])
    end, plain = last(loaded, PROMPTS[0]), logits(loaded, tensors)[0]
    for nothing in ([], [Block([], [1], LAYERS)], [Block([end], [], LAYERS)], [Block([3], [end, 4], LAYERS)]):
        torch.testing.assert_close(logits(loaded, tensors, [nothing])[0], plain, **CLOSE)
    changed = logits(loaded, tensors, [[Block([end], [1, 2, 3], LAYERS)]])[0]
    torch.testing.assert_close(changed[:end], plain[:end], **CLOSE)
    assert (changed[end] - plain[end]).abs().max() > 1e-3


def test_behind_a_cache_the_same_pairs_are_blocked(loaded):
    from transformers import DynamicCache

    tensors = encoded(loaded, PROMPTS[:1])
    end = last(loaded, PROMPTS[0])
    rows = [[Block([end - 1, end], [1, 2, end - 1], LAYERS)]]
    with torch.inference_mode(), blocked(loaded, rows, tensors["attention_mask"]):
        cache, first = DynamicCache(), {**tensors, "input_ids": tensors["input_ids"][:, : end - 1]}
        first |= {key: tensors[key][:, : end - 1] for key in ("attention_mask", "position_ids")}
        loaded.model(**first, past_key_values=cache)
        rest = {"input_ids": tensors["input_ids"][:, end - 1 :], "position_ids": tensors["position_ids"][:, end - 1 :]}
        found = loaded.model(**rest, attention_mask=tensors["attention_mask"], past_key_values=cache).logits[0]
    torch.testing.assert_close(found, logits(loaded, tensors, rows)[0][end - 1 :], **CLOSE)


def test_what_is_written_can_be_blocked_too(loaded):
    tensors = encoded(loaded, PROMPTS[:1])
    tensors.pop("position_ids")
    keys = list(range(1, 5))
    steps = {}
    for name, rows in {
        "plain": [],
        "prompt": [Block([], keys, LAYERS)],
        "written": [Block([], keys, LAYERS, written=True)],
    }.items():
        seen = []
        site = loaded.family.site("attn_prob")

        def see(layer, value, seen=seen):
            if value.shape[2] == 1:
                seen.append(float(value[0, :, 0, keys].sum()))

        blocks, seeing = blocked(loaded, [rows], tensors["attention_mask"]), taps.reading(loaded, site, [1], see)
        with attention.eager(loaded), blocks, seeing:
            answer.new_tokens(loaded, tensors, 4, keep_end=True)
        steps[name] = seen
    assert steps["plain"] and steps["plain"] == pytest.approx(steps["prompt"])
    assert steps["written"] and all(one == 0 for one in steps["written"])


def test_hooks_are_gone_afterwards(loaded):
    tensors = encoded(loaded, PROMPTS[:1])
    plain = logits(loaded, tensors)[0]
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        blocked(loaded, [[Block([5], [1], LAYERS)]], tensors["attention_mask"]),
    ):
        raise RuntimeError("on purpose")
    assert torch.equal(logits(loaded, tensors)[0], plain)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (Block([3], [99], (0,)), "names 99"),
        (Block([3], [1], (9,)), "names 9"),
        (Block([0], [0], (0,)), "no key left"),
        (Block([2], [0, 1, 2], (0,)), "no key left"),
    ],
)
def test_impossible_blocks_are_refused(loaded, block, said):
    mask = encoded(loaded, PROMPTS[:1])["attention_mask"]
    with pytest.raises(VlmscopeError, match=said), blocked(loaded, [[block]], mask):
        pass


def test_kernels_without_masks_are_refused(loaded, monkeypatch):
    monkeypatch.setattr(loaded.config.get_text_config(), "_attn_implementation_internal", "flash_attention_2")
    with pytest.raises(VlmscopeError, match="takes no mask"), blocked(loaded, [[]], torch.ones(1, 4)):
        pass


def test_the_decoder_alone_is_blocked_the_same(loaded):
    tensors = encoded(loaded, PROMPTS[:1])
    end, embeds = last(loaded, PROMPTS[0]), None
    embeds = sweep.embeddings(loaded, {key: one for key, one in tensors.items() if key != "position_ids"})
    rows = [[Block([end], [1, 2], LAYERS)]]
    with torch.inference_mode(), blocked(loaded, rows, tensors["attention_mask"]):
        found = sweep.decoder(loaded)(
            inputs_embeds=embeds, attention_mask=tensors["attention_mask"], use_cache=False
        ).logits[0]
    torch.testing.assert_close(found, logits(loaded, tensors, rows)[0], **CLOSE)
