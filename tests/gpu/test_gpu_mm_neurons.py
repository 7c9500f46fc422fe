"""Decoding steps, gradients and exact parts of logits on a GPU, in float32 and in 16 bit, every family that writes."""

import machine
import numpy as np
import pytest
import test_families
import test_steps
import torch
from test_contract import bench

from vlmscope.capture import batches, plan, run, steps
from vlmscope.mm_neurons.rank import attribution, gradient
from vlmscope.mm_neurons.rank.gradient import Place
from vlmscope.models.inputs import Batch

if machine.lacking():
    pytest.skip(machine.lacking(), allow_module_level=True)

# dtype -> how far states of decoding steps may lie from those of one pass, as a share of the largest.
STEPS = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
precisions = pytest.mark.parametrize("precision", STEPS)


@precisions
@test_families.every_writer
def test_steps_show_what_one_pass_over_the_same_text_shows(family, precision):
    made = bench(family, precision)
    loaded = made.loaded
    takes = plan.resolve(test_steps.TAKES, loaded.family, loaded.config, "generate")
    reader = steps.Steps(loaded, takes)
    written = batches.answered(loaded, test_steps.prompts(made), test_steps.NEW, reader.reading)
    texts = []
    first = reader.capture(texts.append(batch) or batch for batch in written)
    second = run.capture(loaded, takes, texts)
    for one, other in zip(first, second, strict=True):
        scale = np.abs(other.arrays["values"]).max()
        apart = np.abs(one.arrays["values"] - other.arrays["values"]).max()
        assert apart <= STEPS[precision] * scale, one.take.name
        np.testing.assert_array_equal(one.arrays["token"], other.arrays["token"])


@precisions
@test_families.every_writer
def test_parts_of_logits_add_up_and_gradients_reach_the_picture(family, precision):
    made = bench(family, precision)
    loaded, tensors = made.loaded, made.padded([0])
    last = tensors["input_ids"].shape[1] - 1
    batch = Batch((0,), tensors, (last + 1,))
    wanted = [Place(0, last, 5), Place(0, last - 1, 30)]
    exact = attribution.is_exact(loaded)
    traced = gradient.trace(loaded, batch, wanted, attribution.sites(loaded) if exact else {})
    if exact:
        # It refuses parts that miss the logit.
        found = attribution.of(loaded, wanted, traced)
        assert found.neurons.device.type == "cpu" and torch.isfinite(found.total()).all()
    for _, effect in gradient.effects(loaded, batch, wanted, traced):
        assert torch.isfinite(effect).all() and effect[:-1].abs().max() > 0
