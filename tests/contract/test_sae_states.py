"""States of a site as autoencoders read and replace them, on every family that writes text."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_families import bench, picture
from test_lens_families import batch_of, every_writer

from vlmscope.capture import run, taps
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch
from vlmscope.multimodal_sae.beyond import patches
from vlmscope.multimodal_sae.quality import loop
from vlmscope.multimodal_sae.train import states


def setting(family):
    set_up = bench(family)
    return set_up.loaded, batch_of(set_up, range(4)), states.take_of(set_up.loaded, "resid_post[1]")


@every_writer
def test_states_are_those_of_a_whole_pass_and_no_later_layer_runs(family):
    loaded, batch, take = setting(family)
    kept = run.capture(loaded, [take], [batch])[0].arrays["values"][:, 0]
    later = []
    with taps.reading(loaded, loaded.family.site("resid_post"), [2], lambda layer, value: later.append(layer)):
        found = states.states(loaded, take, batch)
    assert not later
    order = torch.from_numpy(kept)
    torch.testing.assert_close(found.float(), order.float(), rtol=2e-3, atol=2e-3)


@every_writer
def test_the_same_states_put_back_change_nothing_and_others_do(family):
    loaded, batch, take = setting(family)
    site = loaded.family.site(take.site)
    own = run.forward(loaded, batch).logits
    with loop.replaced(loaded, site, 1, torch.clone):
        assert torch.equal(run.forward(loaded, batch).logits, own)
    with loop.replaced(loaded, site, 1, torch.zeros_like):
        assert not torch.allclose(run.forward(loaded, batch).logits, own, atol=1e-3)
    assert torch.equal(run.forward(loaded, batch).logits, own)


@pytest.mark.parametrize("family", ["llava_next_llama3", "instructblip", "qwen2_vl"])
def test_scopes_cut_a_text_into_parts(family):
    loaded, batch, _ = setting(family)
    starts = (batch.inputs["attention_mask"].sum(1) - 2).tolist()
    found = loop.scopes(loaded, Batch(batch.rows, batch.inputs, tuple(starts)))
    parts = found["base_image"].int() + found["other_image"].int() + found["text"].int()
    assert torch.equal(parts, found["all"].int())
    assert found["answer"].sum(1).tolist() == [2] * 4
    assert (found["all"].sum(1) - found["all_but_first"].sum(1)).tolist() == [1] * 4


@pytest.mark.parametrize("family", ["llava_next_llama3", "instructblip", "qwen2_vl"])
def test_layers_of_one_pass_stand_side_by_side(family):
    loaded, batch, _ = setting(family)
    both = states.states(loaded, states.take_at(loaded, ["resid_post[2]", "resid_post[0]"]), batch)
    alone = [states.states(loaded, states.take_of(loaded, f"resid_post[{layer}]"), batch) for layer in (0, 2)]
    assert torch.equal(both, torch.cat(alone, 1))


def test_pictures_have_grids_where_the_model_gives_them_one():
    for family, there in (("qwen2_vl", True), ("llava_next_llama3", False)):
        loaded, batch, _ = setting(family)
        found = inputs.grids(loaded, batch.inputs)
        counts = (batch.inputs["input_ids"] == loaded.family.image_token(loaded.config)).sum(1).tolist()
        assert [rows * columns for rows, columns in found] == (counts if there else [])


def test_the_first_position_keeps_its_state_where_it_is_asked_to():
    loaded, batch, take = setting("llava_next_llama3")
    site, seen = loaded.family.site(take.site), []
    kept = loop.first(batch.inputs)
    with (
        loop.replaced(loaded, site, 1, torch.zeros_like, kept),
        taps.reading(loaded, site, [1], lambda layer, value: seen.append(value)),
    ):
        run.forward(loaded, batch)
    assert torch.equal(seen[0].abs().sum(-1) > 0, kept)


def patches_seen(family, batch):
    """States and neurons of the patches of four pictures."""
    set_up = bench(family)
    samples = [SimpleNamespace(width=width, height=height) for width, height in set_up.sizes]
    shown = [picture(size, number) for number, size in enumerate(set_up.sizes)]
    neurons = {0: [3, 1], 1: [2]}
    return patches.seen(set_up.loaded, "resid_post[1]", samples, shown.__getitem__, neurons, batch)


@pytest.mark.parametrize("family", ["llava", "llava_next_llama3"])
def test_patches_are_read_with_the_neurons_that_write_them_whatever_the_batch(family):
    x, values, looks = patches_seen(family, 4)
    alone, others, _ = patches_seen(family, 1)
    np.testing.assert_allclose(x, alone, atol=2e-5)
    np.testing.assert_allclose(values, others, atol=2e-5)
    assert x.shape[1] == loop.base_positions(bench(family).loaded, 0)
    assert values.shape == (*x.shape[:2], 3) and len(set(looks)) == 4


def test_what_a_neuron_writes_is_its_column():
    """Twice a neuron moves what the down projection gives by twice the column."""
    loaded = bench("llava_next_llama3").loaded
    found = patches.columns(loaded, 1, [2, 5])
    module = taps.module_at(loaded.model, loaded.family.site("mlp_gate").columns, 1)
    units = torch.zeros(1, module.in_features)
    units[0, 5] = 2
    with torch.inference_mode():
        torch.testing.assert_close(module(units)[0] - module(units * 0)[0], 2 * torch.from_numpy(found[1]))


def test_pictures_without_a_first_view_of_fixed_size_have_no_patches():
    with pytest.raises(VlmscopeError, match="no first view of a fixed size"):
        patches_seen("qwen2_vl", 1)
