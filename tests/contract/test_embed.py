"""One vector per picture from the tower of every family: class token behind the last norm, or the mean over patches."""

import pytest
import torch
from test_families import bench

from vlmscope.capture import run, taps
from vlmscope.mmneuron import embed
from vlmscope.models import base
from vlmscope.models.inputs import Batch

FAMILIES = [name for name in base.names() if base.family(name).head]
# What the published towers have: class token, norm behind the last block.
CLASSED = {"llava", "llava_llama2", "llava_next", "llava_next_llama3", "llava_phi", "instructblip", "internvl"}
CLASSED |= {"mplug_owl2", "molmo"}
NORMLESS = {"qwen2_vl", "qwen2_5_vl", "molmo"}
every_family = pytest.mark.parametrize("family", FAMILIES)


def vectors(set_up, numbers):
    stream = [Batch((row,), set_up.one(number)) for row, number in enumerate(numbers)]
    return embed.vectors(set_up.loaded, numbers, stream, embed.reader(set_up.loaded))


@every_family
def test_towers_are_read_as_they_are_built(family):
    found = embed.reader(bench(family).loaded)
    assert found.classed == (family in CLASSED)
    assert bool(found.norm) == (family not in NORMLESS)
    assert ("class token" in found.words()) == found.classed


@every_family
def test_every_picture_has_a_vector_of_its_own_in_the_order_asked_for(family):
    set_up = bench(family)
    width = set_up.loaded.family.site("vision_resid").width(set_up.loaded.config)
    found = vectors(set_up, [0, 1, 2])
    assert found.shape == (3, width) and found.dtype == torch.float32
    assert torch.allclose(vectors(set_up, [2, 0]), found[[2, 0]])
    assert not torch.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("family", ["llava_next", "llava"])
def test_a_clip_tower_gives_its_pooled_class_token_of_the_base_view(family):
    set_up = bench(family)
    loaded, tensors = set_up.loaded, set_up.one(1)
    pixels = tensors["pixel_values"].flatten(0, -4)[:1]
    with torch.inference_mode():
        own = loaded.model.model.vision_tower(pixels).pooler_output[0]
    assert torch.allclose(vectors(set_up, [1])[0], own, atol=1e-6)


def test_without_a_norm_the_last_block_is_averaged_over_patches():
    set_up = bench("qwen2_vl")
    loaded, seen = set_up.loaded, []
    site = loaded.family.site("vision_resid")
    with torch.inference_mode(), taps.reading(loaded, site, [2], lambda layer, value: seen.append(value)):
        run.forward(loaded, Batch((0,), set_up.one(3)))
    assert torch.allclose(vectors(set_up, [3])[0], seen[0].mean(0), atol=1e-6)


def test_no_hook_stays_behind():
    model = bench("llava").loaded.model
    before = sum(len(module._forward_hooks) for module in model.modules())
    vectors(bench("llava"), [0])
    assert sum(len(module._forward_hooks) for module in model.modules()) == before
