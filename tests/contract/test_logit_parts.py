"""Logits have exact parts in every family whose branches go straight into the stream."""

import test_families
import torch
from test_families import bench

from vlmscope.capture import run
from vlmscope.mm_neurons.rank import attribution, gradient
from vlmscope.mm_neurons.rank.gradient import Place
from vlmscope.models.inputs import Batch

# A norm stands between their branches and the stream.
NORMED = {"gemma3"}


@test_families.every_writer
def test_parts_of_logits_add_up(family):
    one = bench(family)
    tensors = one.padded([0])
    batch = Batch((0,), tensors, (tensors["input_ids"].shape[1],))
    assert attribution.is_exact(one.loaded) == (family not in NORMED)
    if family in NORMED:
        return
    last = tensors["input_ids"].shape[1] - 1
    wanted = [Place(0, position, token) for position in (last, last - 1) for token in (5, 30)]
    traced = gradient.trace(one.loaded, batch, wanted, attribution.sites(one.loaded))
    found = attribution.of(one.loaded, wanted, traced)
    with torch.inference_mode():
        logits = run.forward(one.loaded, batch, 0).logits
    direct = torch.stack([logits[0, place.position, place.token] for place in wanted]).double()
    largest = direct.abs().max() + found.neurons.abs().sum((1, 2)).max()
    assert (found.total() - direct).abs().max() < 1e-5 * largest


@test_families.every_writer
def test_effects_of_units_at_the_picture_are_found(family):
    one = bench(family)
    tensors = one.padded([0])
    batch = Batch((0,), tensors, (tensors["input_ids"].shape[1],))
    wanted = [Place(0, tensors["input_ids"].shape[1] - 1, 5)]
    traced = gradient.trace(one.loaded, batch, wanted, {})
    [(_, found)] = gradient.effects(one.loaded, batch, wanted, traced, "sum")
    site = one.loaded.family.site("mlp_hidden")
    assert found.shape == (site.layers(one.loaded.config), site.width(one.loaded.config))
    assert found[:-1].abs().max() > 0
    # Behind the last attention no image position reaches the last text position.
    assert found[-1].abs().max() == 0


@test_families.every_writer
def test_the_gain_of_the_final_norm_is_known(family):
    """A state times gain over its root mean square is what the norm gives."""
    from vlmscope.models import written

    loaded = bench(family).loaded
    norm = loaded.model.get_submodule(loaded.family.norm)
    weight = norm.weight.detach().clone()
    norm.weight.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(0))
    state = torch.randn(3, len(weight), generator=torch.Generator().manual_seed(1))
    found = norm(state)
    wanted = state * written.gain(norm.weight, loaded.family) * state.square().mean(1, keepdim=True).rsqrt()
    norm.weight.data.copy_(weight)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
