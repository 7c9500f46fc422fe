"""Counts of all modules of mmneuron against a second, naive count, and over shards (mmneuron.md 11, checks 1 and 7)."""

import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image

from vlmscope.capture import plan, run
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import modules
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch

PROMPTS = ["<image>\nw1 w2 w3", "<image>\nw4 w5 w6 w7 w8 w9", "<image>\nw10", "<image>\nw11 w12 w13 w14"]
# Where the paper's code looks, by the names of the classes of today (mmneuron.md 4).
ACTIVATIONS = {
    "llava": {
        "lang": ("model.language_model.layers", "mlp.act_fn"),
        "vision": ("model.vision_tower.encoder.layers", "mlp.activation_fn"),
        "mmproj": ("model.multi_modal_projector", "act"),
    },
    "llava_next": {
        "lang": ("model.language_model.layers", "mlp.act_fn"),
        "vision": ("model.vision_tower.encoder.layers", "mlp.activation_fn"),
        "mmproj": ("model.multi_modal_projector", "act"),
    },
    "instructblip": {
        "lang": ("language_model.model.layers", "mlp.act_fn"),
        "encoder": ("vision_model.encoder.layers", "mlp.activation_fn"),
        "qformer": ("qformer.encoder.layer", "intermediate.intermediate_act_fn"),
        "query": ("qformer.encoder.layer", "intermediate_query.intermediate_act_fn"),
    },
}
# The same classes behind another template.
ACTIVATIONS["llava_next_llama3"] = ACTIVATIONS["llava_next"]
# Phi-3 splits one product into gate and up; only the gate passes its activation function.
ACTIVATIONS["llava_phi"] = {**ACTIVATIONS["llava"], "lang": ("model.language_model.layers", "mlp.activation_fn")}


@pytest.fixture(scope="module", params=sorted(modules.MODULES))
def loaded(request):
    return tiny_families.loaded(request.param)


@pytest.fixture(scope="module")
def pictures():
    drawn = np.random.default_rng(3)
    sizes = [(28, 28), (28, 28), (14, 42), (42, 14)]
    return [Image.fromarray(drawn.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def batch_of(loaded, pictures, rows, side="right"):
    chosen = [PROMPTS[row] for row in rows], [pictures[row] for row in rows]
    return Batch(tuple(rows), inputs.encode(loaded, *chosen, side=side))


def watched(loaded, module):
    """The activation functions of one module, layer by layer."""
    blocks, below = ACTIVATIONS[loaded.family.name][module]
    found = loaded.model.get_submodule(blocks)
    return [one.get_submodule(below) for one in (found if isinstance(found, torch.nn.ModuleList) else [found])]


def naive(loaded, pictures):
    """Positions with activation > 0, sums and positions of all samples, one after the other, without any mask."""
    seen = {module: [] for module in ACTIVATIONS[loaded.family.name]}
    handles = [
        layer.register_forward_hook(lambda _, __, out, at=(module, place): seen[at[0]].append((at[1], out)))
        for module in seen
        for place, layer in enumerate(watched(loaded, module))
    ]
    with torch.inference_mode():
        for row in range(len(PROMPTS)):
            run.forward(loaded, batch_of(loaded, pictures, [row]))
    for handle in handles:
        handle.remove()
    found = {}
    for module, values in seen.items():
        layers, width = 1 + max(place for place, _ in values), values[0][1].shape[-1]
        fired, total, tokens = np.zeros((layers, width), np.int64), np.zeros((layers, width)), np.zeros(layers, int)
        for place, value in values:
            rows = value.reshape(-1, width).double().numpy()
            fired[place] += (rows > 0).sum(0)
            total[place] += rows.sum(0)
            tokens[place] += len(rows)
        assert len(set(tokens)) == 1
        found[module] = fired, total, int(tokens[0])
    return found


def captured(loaded, batches):
    takes = [one for one in modules.needs(loaded.family.name) if one["where"] == "all"]
    kept = run.capture(loaded, plan.resolve(takes, loaded.family, loaded.config), batches)
    return dict(zip(modules.sites(loaded.family.name), (one.arrays for one in kept), strict=True))


@pytest.mark.parametrize("groups", [[[0], [1], [2], [3]], [[0, 1], [2, 3]], [[3, 1, 0, 2]]], ids=str)
def test_counts_are_those_of_single_samples_without_padding(loaded, pictures, groups):
    expected = naive(loaded, pictures)
    found = captured(loaded, [batch_of(loaded, pictures, rows) for rows in groups])
    assert found.keys() == expected.keys()
    for module, (fired, total, seen) in expected.items():
        np.testing.assert_array_equal(found[module]["fired"], fired)
        np.testing.assert_allclose(found[module]["total"], total, atol=1e-3)
        assert found[module]["seen"] == seen
        assert (found[module]["fired"] >= 0).all() and (found[module]["fired"] <= seen).all()


def test_counts_of_shards_add_up(loaded, pictures):
    whole = captured(loaded, [batch_of(loaded, pictures, range(4))])
    parts = [captured(loaded, [batch_of(loaded, pictures, rows)]) for rows in ([0], [1, 2], [3])]
    for module, one in whole.items():
        np.testing.assert_array_equal(sum(part[module]["fired"] for part in parts), one["fired"])
        assert sum(part[module]["seen"] for part in parts) == one["seen"]


def test_padding_on_the_left_is_refused_and_not_counted_wrongly(loaded, pictures):
    captured(loaded, [batch_of(loaded, pictures, [1], side="left")])
    with pytest.raises(VlmscopeError, match="Padding stands in front"):
        captured(loaded, [batch_of(loaded, pictures, [0, 1], side="left")])
