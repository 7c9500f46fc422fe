"""Activations of neurons at image tokens: every family with a layout, batches, shuffled tokens, memory."""

import os
import resource
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image

from vlmscope.capture import batches, taps
from vlmscope.edits import shuffled
from vlmscope.mm_neurons.image import grids, patches
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.mm_neurons.image.grids import Seen
from vlmscope.mm_neurons.rank.lists import Neurons
from vlmscope.models import base, inputs
from vlmscope.models.load import Loaded
from vlmscope.samples import Sample

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("act_fn", "down_proj_input")
NAMES = ("a", "b", "c")


@cache
def model(name):
    return tiny_families.loaded(name)


def batch(loaded, numbers):
    sizes = tiny_families.BUILDERS[loaded.family.name].pictures
    shapes = [sizes[number if alike(loaded, sizes) else 0][::-1] for number in numbers]
    noise = [np.random.default_rng(number) for number in numbers]
    pictures = [
        Image.fromarray(one.integers(0, 256, (*shape, 3), dtype=np.uint8))
        for one, shape in zip(noise, shapes, strict=True)
    ]
    texts = [loaded.family.template.format(prompt="<image>\n" + "w1 " * (number + 1)) for number in numbers]
    return inputs.Batch(tuple(numbers), inputs.encode(loaded, texts, pictures, side="right"))


def alike(loaded, sizes):
    return len({loaded.family.alike(loaded.config, loaded.processor, *size) for size in sizes}) == 1


def lists(loaded, seed, count=9):
    """Neurons of all layers, drawn."""
    site = loaded.family.site("mlp_gate")
    layers, width = site.layers(loaded.config), site.width(loaded.config)
    drawn = np.random.default_rng(seed)
    layer, unit = drawn.integers(0, layers, count, np.uint8), drawn.integers(0, width, count).astype(np.uint16)
    return Neurons(layer, unit, np.zeros(count, np.float32))


def wanted(loaded):
    """Sample b has two nouns, c none."""
    nouns = {"a": ["dog"], "b": ["cat", "dog"], "elsewhere": ["cow"]}
    return {
        kind: {
            name: {noun: lists(loaded, sum(map(ord, kind + name + noun))) for noun in own}
            for name, own in nouns.items()
        }
        for kind in KINDS
    }


def whole(loaded, kind, given, orders=None):
    """All activations [sample, layer, token, unit] of one kind."""
    site, seen = loaded.family.site(image_units.SITES[kind]), {}
    layers = range(site.layers(loaded.config))
    with torch.inference_mode(), taps.reading(loaded, site, layers, seen.__setitem__):
        if orders is None:
            loaded.model(**given.inputs, use_cache=False)
        else:
            with shuffled(loaded, given.inputs, orders):
                loaded.model(**given.inputs, use_cache=False)
    return torch.stack([seen[layer] for layer in layers], 1).numpy()


def image_places(loaded, given, row):
    return np.flatnonzero(given.inputs["input_ids"][row].numpy() == loaded.family.image_token(loaded.config))


@pytest.mark.parametrize("family", patches.KNOWN)
def test_every_noun_gets_its_neurons_at_its_own_image_tokens(family):
    loaded = model(family)
    given, asked = batch(loaded, range(3)), wanted(loaded)
    found = image_units.gather(loaded, given, NAMES, asked)
    assert {(one.activation, one.sample, one.noun) for one in found.units} == {
        (kind, *pair) for kind in KINDS for pair in (("a", "dog"), ("b", "cat"), ("b", "dog"))
    }
    everything = {kind: whole(loaded, kind, given) for kind in KINDS}
    for one in found.units:
        row, neurons = NAMES.index(one.sample), asked[one.activation][one.sample][one.noun]
        layout = found.layouts[row]
        places = image_places(loaded, given, row)[list(layout.tokens)]
        own = everything[one.activation][row][neurons.layer[:, None], places, neurons.unit[:, None]]
        np.testing.assert_array_equal(one.values, own)
        if family not in patches.QUERIES:
            assert one.values.shape == (9, layout.grid[0] * layout.grid[1])


@pytest.mark.parametrize("family", patches.KNOWN)
def test_shuffled_tokens_come_back_in_the_order_of_the_picture(family):
    loaded = model(family)
    given, asked = batch(loaded, [0, 1]), wanted(loaded)
    counts = [len(image_places(loaded, given, row)) for row in range(2)]
    orders = [np.roll(np.random.default_rng(row).permutation(count), 1) for row, count in enumerate(counts)]
    found = image_units.gather(loaded, given, NAMES[:2], asked, orders)
    everything = {kind: whole(loaded, kind, given, orders) for kind in KINDS}
    for one in found.units:
        row, neurons = NAMES.index(one.sample), asked[one.activation][one.sample][one.noun]
        seen = everything[one.activation][row][:, image_places(loaded, given, row)]
        restored = np.zeros_like(seen)
        restored[:, orders[row]] = seen
        own = restored[neurons.layer[:, None], list(found.layouts[row].tokens), neurons.unit[:, None]]
        np.testing.assert_array_equal(one.values, own)
    plain = image_units.gather(loaded, given, NAMES[:2], asked)
    straight = image_units.gather(loaded, given, NAMES[:2], asked, [range(count) for count in counts])
    for one, other, moved in zip(plain.units, straight.units, found.units, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert not np.array_equal(one.values, moved.values)


# ---- memory ------------------------------------------------------------------------------------------------------

# 64 image tokens, 2 layers, 4096 units: 2 MB of activations per picture and definition.
SIDE, UNITS = 8, 4096


def streamed(loaded, samples, picture, size, asked):
    for one in batches.prefill(loaded, samples, lambda one: "<image>\nw1 w2", lambda one: picture, size):
        yield from image_units.items(loaded, samples, lambda one: picture, one, asked)


def many(count):
    """Write maps of many pictures; prints the process's peak memory in MB."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, LlamaConfig, LlavaConfig

    text = tiny_families.TEXT | {"intermediate_size": UNITS, "num_hidden_layers": 2}
    vision = tiny_families.VISION | {"image_size": SIDE * 7}

    def make(words):
        config = LlavaConfig(
            vision_config=CLIPVisionConfig(**vision, projection_dim=16),
            text_config=LlamaConfig(**text),
            image_token_index=tiny_families.image_id(words),
            image_seq_length=SIDE * SIDE,
        )
        square = {"height": SIDE * 7, "width": SIDE * 7}
        return config, CLIPImageProcessorPil(size={"shortest_edge": SIDE * 7}, crop_size=square)

    kind = base.family("llava")
    loaded = Loaded(*tiny_families.build(kind, tiny_families.Builder(make)), kind, {"fingerprint": ""})
    samples = [Sample(f"s-{n}", "s", "val", n, f"s-{n}", ("p",), 60, 60, "w1", (), "") for n in range(count)]
    asked = {kind: {one.sample: {"dog": lists(loaded, 0, 50)} for one in samples} for kind in KINDS}
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8))
    items = streamed(loaded, samples, noise, 4, asked)
    with tempfile.TemporaryDirectory() as folder:
        grids.write(Path(folder) / "maps.h5", items, {})
        with grids.opened(Path(folder) / "maps.h5") as file:
            assert len(file["samples"]) == count
            assert grids.read(file, "act_fn", "contribution", "s-0", "dog").shape == (50, SIDE, SIDE)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def test_peak_memory_does_not_grow_with_the_number_of_pictures():
    few, lots = 8, 56
    own = {"check": True, "stdout": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    told = [subprocess.run([sys.executable, __file__, str(count)], **own).stdout for count in (few, lots)]
    peaks = [float(text.split()[-1]) for text in told]
    all_of_them = 2 * SIDE * SIDE * UNITS * 4 * len(KINDS) / 2**20
    assert (peaks[1] - peaks[0]) / (lots - few) < 0.25 * all_of_them


def test_pictures_stand_before_their_nouns():
    loaded = model("llava")
    samples = [Sample(name, "s", "val", n, name, ("p",), 28, 28, "w1", (), "") for n, name in enumerate(NAMES)]
    noise = Image.new("RGB", (28, 28), "red")
    items = list(streamed(loaded, samples, noise, 2, wanted(loaded)))
    seen = set()
    for item in items:
        if isinstance(item, Seen):
            seen.add(item.sample)
        else:
            assert item.sample in seen
    assert seen == set(NAMES)


if __name__ == "__main__":
    torch.set_num_threads(1)
    many(int(sys.argv[1]))
