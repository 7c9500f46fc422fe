"""Weights read from a folder one by one are those of the loaded model, in every family."""

from pathlib import Path

import pytest
import test_families
import torch

from vlmscope.capture import taps
from vlmscope.config import default
from vlmscope.models import base
from vlmscope.store.weights import Weights

SHIPPED = sorted((Path(__file__).parents[2] / "weights").glob("*/config.json"))
FAMILIES = {name: base.family(model.family) for name, model in default().models.items()}
WRITERS = [path for path in SHIPPED if FAMILIES[path.parent.name].head]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function that gives the model of a family and the folder that it was saved in."""
    known = {}

    def of(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            loaded = test_families.bench(name).loaded
            loaded.model.save_pretrained(folder)
            known[name] = loaded, Weights(folder)
        return known[name]

    return of


@test_families.every_writer
def test_output_weights_of_every_layer_are_found(saved, family):
    loaded, weights = saved(family)
    site = loaded.family.site("mlp_hidden")
    for layer in range(site.layers(loaded.config)):
        found = weights.read(site.columns.replace("{l}", str(layer)))
        assert torch.equal(found, taps.module_at(loaded.model, site.columns, layer).weight)
        assert found.shape[1] == site.width(loaded.config)


@test_families.every_writer
def test_norm_and_head_are_found(saved, family):
    loaded, weights = saved(family)
    assert torch.equal(weights.read(loaded.family.norm), taps.module_at(loaded.model, loaded.family.norm).weight)
    paths = loaded.family.head, loaded.family.norm.rpartition(".")[0] + ".embed_tokens"
    assert torch.equal(weights.read(*paths), taps.module_at(loaded.model, loaded.family.head).weight)


@pytest.mark.parametrize("folder", WRITERS, ids=lambda path: path.parent.name)
def test_shipped_weights_have_one_name_for_each(folder):
    weights, wanted = Weights(folder.parent), FAMILIES[folder.parent.name]
    names = [weights.name(path.replace("{l}", "1")) for path in (wanted.site("mlp_hidden").columns, wanted.norm)]
    assert names[0].endswith(("layers.1.mlp.down_proj.weight", "blocks.1.ff_out.weight"))
    assert "vision" not in names[1] and names[1].endswith(("norm.weight", "ln_f.weight"))
    assert weights.name(wanted.head).endswith(("lm_head.weight", "ff_out.weight"))
