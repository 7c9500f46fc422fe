"""A model whose layers lie on two devices: passes, captures, edits and answers equal those of one device, bit by bit.

The two devices are pretended (`pretended.py`), so that the check runs everywhere.
"""

import functools

import numpy as np
import pytest
import test_families
import tiny_families
import torch
from pretended import DEVICES, Pretending, device_of, scatter

from vlmscope.capture import plan, run, taps
from vlmscope.edits import Change, changed, silenced, zeroed
from vlmscope.models import answer, base, placement
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

# LLaVA's newline is a parameter beside modules; the library names it in its map all the same.
pytestmark = pytest.mark.filterwarnings("ignore:The following device_map keys do not match any submodules")


# What is kept of each stream; of all others just counts.
KEEPS = {
    "text": [("all", "counts"), ("all", "values"), ("text", "mean"), ("last", "top(3)"), ("image", "first")],
    "attention": [("last", "values")],
}


def blocks_of(loaded):
    """The decoder's blocks, first to last."""
    site = loaded.family.site("resid_post")
    return [taps.module_at(loaded.model, site.path, layer) for layer in range(site.layers(loaded.config))]


def devices_of(module):
    """Where its parameters lie."""
    return {device_of(one) for one in module.parameters()}


def places_of(model, kind, share):
    """Module -> device, as the library cuts a model: the first part of the weights, and the rest."""
    from transformers.integrations.accelerate import compute_module_sizes, infer_auto_device_map

    memory = {0: int(share * compute_module_sizes(model)[0][""]), 1: 1 << 40}
    whole = model._no_split_modules | placement.uncut(model, kind)
    cut = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=sorted(whole))
    return {name: DEVICES[number] for name, number in cut.items()}


def spread(name, share):
    """The tiny model of a family, its first part on the first device."""
    from accelerate import dispatch_model

    kind, builder = base.family(name), tiny_families.BUILDERS[name]
    model, processor = tiny_families.build(kind, builder)
    places = places_of(model, kind, share)
    scatter(model, places)
    with Pretending():
        dispatch_model(model, places, skip_keys=sorted(model._skip_keys_device_placement | placement.PICKING))
    return test_families.Bench(Loaded(model, processor, kind, {}), tuple(builder.pictures))


@functools.cache
def cuts(name):
    """The model cut in several places."""
    every = [spread(name, tenth / 10) for tenth in (3, 5, 6, 7, 8)]
    different = {str(sorted(one.loaded.model.hf_device_map.items())): one for one in every}
    return [one for one in different.values() if devices_of(one.loaded.model) == set(DEVICES)]


def halved(name):
    """The model cut in the middle of its decoder."""
    return next(one for one in cuts(name) if set().union(*map(devices_of, blocks_of(one.loaded))) == set(DEVICES))


@pytest.fixture
def both(family):
    """The model on one device, and on two."""
    return test_families.bench(family), halved(family)


def weakened(loaded, units):
    """Units at half their value."""
    return changed(loaded, [Change(units, 0.5)])


def batch(bench):
    """Two samples of different length."""
    return Batch((0, 1), bench.padded([1, 0]))


def arrays(bench, takes):
    return [kept.arrays for kept in run.capture(bench.loaded, takes, [batch(bench)])]


@test_families.every_family
def test_the_blocks_lie_on_both_devices_and_each_on_one(both):
    found = [devices_of(block) for block in blocks_of(both[1].loaded)]
    assert all(len(one) == 1 for one in found)
    assert set().union(*found) == set(DEVICES)
    assert devices_of(both[1].loaded.model) == set(DEVICES)


@test_families.every_family
def test_logits_are_those_of_one_device_wherever_the_model_is_cut(family):
    alone = test_families.bench(family)
    expected = test_families.logits(alone, alone.padded([1, 0]))
    assert len(cuts(family)) > 1
    for apart in cuts(family):
        with Pretending():
            assert torch.equal(test_families.logits(apart, apart.padded([1, 0])).cpu(), expected)


@test_families.every_family
def test_captures_are_those_of_one_device(both):
    loaded = both[0].loaded
    takes = [
        {"site": site, "where": where, "keep": keep}
        for site, place in loaded.family.sites.items()
        for where, keep in KEEPS.get(place.stream, [("all", "counts")])
    ]
    takes = plan.resolve(takes, loaded.family, loaded.config)
    alone = arrays(both[0], takes)
    with Pretending():
        apart = arrays(both[1], takes)
    for one, other in zip(alone, apart, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("edit", [zeroed, silenced, weakened])
@test_families.every_family
def test_edited_passes_are_those_of_one_device(both, edit):
    layers = range(len(blocks_of(both[0].loaded)))
    units = {"mlp_gate": {layer: [layer, 5, 7] for layer in layers}, "vision_gate": {0: [1, 2]}}
    with edit(both[0].loaded, units):
        alone = test_families.logits(both[0], both[0].one(1))
    with Pretending():
        with edit(both[1].loaded, units):
            apart = test_families.logits(both[1], both[1].one(1)).cpu()
        assert torch.equal(test_families.logits(both[1], both[1].one(1)).cpu(), untouched(both[0]))
    assert torch.equal(apart, alone)
    assert not torch.equal(apart, untouched(both[0]))


def untouched(bench):
    return test_families.logits(bench, bench.one(1))


@test_families.every_writer
def test_answers_are_those_of_one_device(both):
    alone = answer.new_tokens(both[0].loaded, both[0].padded(range(4), side="left"), 6)
    with Pretending():
        assert answer.new_tokens(both[1].loaded, both[1].padded(range(4), side="left"), 6) == alone


def test_pretended_devices_do_not_meet():
    with Pretending():
        one, other = (torch.arange(3, device=device) for device in DEVICES)
        assert (one.device, other.device, (one + one).device) == (*DEVICES, DEVICES[0])
        meetings = (lambda: one + other, lambda: torch.stack([one, other]), lambda: one[other], lambda: one + one.cpu())
        for meeting in meetings:
            with pytest.raises(RuntimeError, match="tensors on"):
                meeting()
        assert (one.to(other.device) + other).tolist() == [0, 2, 4]
