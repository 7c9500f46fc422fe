"""Units at image tokens and shuffled pictures on a GPU, in float32 and in 16 bit, every family with a layout."""

import machine
import numpy as np
import pytest
import test_image_units
import test_shuffled
import torch
from test_contract import bench

from vlmscope.edits import shuffled
from vlmscope.mm_neurons.image import patches, shuffle
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.models.inputs import Batch

if machine.lacking():
    pytest.skip(machine.lacking(), allow_module_level=True)

# dtype -> how far values may lie from those of a CPU in float32, as a share of the largest.
NEAR = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
precisions = pytest.mark.parametrize("precision", NEAR)


@precisions
@pytest.mark.parametrize("family", patches.KNOWN)
def test_units_at_image_tokens_are_those_of_a_cpu(family, precision):
    made, own = bench(family, precision), test_image_units.model(family)
    asked = test_image_units.wanted(own)
    near, far = test_image_units.batch(made.loaded, range(3)), test_image_units.batch(own, range(3))
    counts = test_shuffled.counts(own, far.inputs)
    orders = [list(range(count))[::-1] for count in counts]
    for given in ((), orders):
        found = image_units.gather(made.loaded, near, test_image_units.NAMES, asked, given)
        wanted = image_units.gather(own, far, test_image_units.NAMES, asked, given)
        for one, other in zip(found.units, wanted.units, strict=True):
            assert np.abs(one.values - other.values).max() <= NEAR[precision] * max(1, np.abs(other.values).max())
        assert (found.carries is None) == (family not in patches.QUERIES)
        if found.carries is not None:
            assert np.abs(found.carries - wanted.carries).max() <= NEAR[precision]


@precisions
@pytest.mark.parametrize("family", test_shuffled.WRITERS)
def test_the_order_that_is_there_changes_no_bit(family, precision):
    loaded = bench(family, precision).loaded
    tensors = {key: value.to(machine.DEVICE) for key, value in test_shuffled.set_up(family)[1].items()}
    floats = {"pixel_values": loaded.model.dtype}
    tensors = {key: value.to(floats.get(key, value.dtype)) for key, value in tensors.items()}
    before = test_shuffled.at_the_end(loaded, tensors)
    straight = [range(count) for count in test_shuffled.counts(loaded, tensors)]
    with shuffled(loaded, tensors, straight):
        assert torch.equal(test_shuffled.at_the_end(loaded, tensors), before)
    batch = Batch((0, 1), tensors)
    turned = [list(one)[::-1] for one in straight]
    found = shuffle.activations(loaded, batch, turned, [[5, 6, 7], [8]], [(0, 2), (1, 0)], ["act_fn"])["act_fn"]
    assert found.device.type == "cpu" and found.shape[0] == 2 and torch.isfinite(found).all()
