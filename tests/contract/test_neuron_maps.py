"""Maps of single neurons in every family that has domain neurons: pictures of different sizes in one batch."""

import json

import numpy as np
import pytest
from PIL import Image
from tiny_families import BUILDERS, build

from vlmscope.capture import batches
from vlmscope.mmneuron import examples, modules
from vlmscope.models.base import family
from vlmscope.models.load import Loaded
from vlmscope.samples import Sample


@pytest.fixture(scope="module", params=sorted(modules.MODULES))
def looked(request):
    """A family's tiny model, samples of different sizes, and the peaks of one neuron per module."""
    kind = family(request.param)
    model, processor = build(kind, BUILDERS[request.param])
    loaded = Loaded(model, processor, kind, {})
    sizes = BUILDERS[request.param].pictures
    samples = [
        Sample(f"d-{n}", "d", "val", n, f"d-{n}", (str(n),), *size, " ".join(f"w{k}" for k in range(n + 2)), (), '"x"')
        for n, size in enumerate(sizes)
    ]
    noise = np.random.default_rng(3)
    pictures = {n: noise.integers(0, 255, (high, wide, 3), np.uint8) for n, (wide, high) in enumerate(sizes)}
    neurons = [(module, 0, unit) for module in modules.sites(kind.name) for unit in (2, 5)]

    def peaks(batch):
        stream = batches.prefill(
            loaded,
            samples,
            lambda one: f"<image>\n{one.question}",
            lambda one: Image.fromarray(pictures[one.index]),
            batch,
        )
        return examples.peaks(loaded, samples, stream, neurons, len(samples))

    return peaks, samples, neurons


def test_maps_do_not_depend_on_what_else_is_in_the_batch(looked):
    peaks, samples, neurons = looked
    alone, together = peaks(1), peaks(len(samples))
    for neuron in neurons:
        own, other = ({peak.order: peak for peak in found[neuron]} for found in (alone, together))
        assert own.keys() == other.keys()
        for order, peak in own.items():
            np.testing.assert_allclose(peak.values, other[order].values, atol=1e-5)
            assert peak.overall == pytest.approx(other[order].overall, abs=1e-5)
            assert (peak.place, peak.shapes) == (other[order].place, other[order].shapes)


def test_every_module_has_the_map_that_its_positions_allow(looked):
    peaks, samples, neurons = looked
    for (module, _, _), found in peaks(2).items():
        assert len(found) == len(samples)
        shapes = [json.loads(peak.shapes) for peak in found]
        if module == "qformer":
            assert shapes == [[]] * len(samples)
            assert all(peak.place for peak in found)
            continue
        for peak, shape in zip(found, shapes, strict=True):
            assert sum(rows * columns for rows, columns, _ in shape) == len(peak.values)
            places = [box for *_, box in shape]
            assert (places == [None]) == (module == "query" or (("qformer", 0, 2) in neurons and module == "lang"))
