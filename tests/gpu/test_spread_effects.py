"""Noise and edits of a model whose layers lie on two devices equal those of one device (see test_spread.py)."""

import numpy as np
import pytest
import test_families
import torch
from pretended import Pretending
from test_spread import halved

from vlmscope.mm_neurons.edit import methods
from vlmscope.mm_neurons.runs import columns, passes, readings
from vlmscope.mm_neurons.runs.readings import Place

pytestmark = pytest.mark.filterwarnings("ignore:The following device_map keys do not match any submodules")
NUMBERS = (0, 1, 1)


def prompts(bench):
    asked = [bench.loaded.family.template.format(prompt=f"<image>\n{test_families.question(one)}") for one in NUMBERS]
    pictures = [test_families.picture(bench.sizes[one], one) for one in NUMBERS]
    return passes.prepare(bench.loaded, asked, pictures, batch=2)


def noise(loaded, seed, k):
    """On neurons of all layers."""
    layers, units = columns.shape(loaded)
    drawn, width = np.random.default_rng(seed), loaded.family.site("mlp_out").width(loaded.config)
    rows = drawn.standard_normal((k, width)).astype(np.float32)
    return columns.Added(np.arange(k) % layers, drawn.integers(0, units, k), rows)


def found(bench):
    """Captions and log-probabilities under noise, in hooks and in the weights."""
    loaded, ready = bench.loaded, prompts(bench)
    parts = []
    for rows in passes.batches(ready, 2):
        some = [ready[row] for row in rows]
        with columns.added(loaded, [noise(loaded, row, 9) for row in rows]):
            written = passes.write(loaded, some, 4)
            parts.append((written, passes.log_probs(loaded, some, written).cpu()))
    with columns.merged(loaded, [noise(loaded, 5, 9)]):
        parts.append(([], passes.log_probs(loaded, ready[:1], [[5, 6]]).cpu()))
    return parts


@test_families.every_writer
def test_captions_under_noise_are_those_of_one_device(family):
    alone = found(test_families.bench(family))
    with Pretending():
        apart = found(halved(family))
    for (said, values), (other, close) in zip(alone, apart, strict=True):
        assert said == other
        torch.testing.assert_close(close, values, atol=1e-5, rtol=1e-5)


def closed_form(bench):
    """Sizes of neurons, states, and the rows of an edit."""
    loaded, ready = bench.loaded, prompts(bench)
    at = readings.read(loaded, [Place(ready[0], (5, 6, 7), step) for step in (1, 2)], 2)
    neurons = methods.best(loaded, at, 8, k=6)
    made = methods.closed_form(loaded, at.of(neurons), None, (8, 9), neurons, torch.tensor([1.0, 2.0]), ridge=0.1)
    return [columns.rms(loaded), *at, *neurons, made.rows]


@test_families.every_writer
def test_an_edit_is_that_of_one_device(family):
    alone = closed_form(test_families.bench(family))
    with Pretending():
        apart = closed_form(halved(family))
    for one, other in zip(alone, apart, strict=True):
        np.testing.assert_allclose(np.asarray(other), np.asarray(one), atol=1e-5, rtol=1e-4)
