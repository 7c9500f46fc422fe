"""Pictures of any size, batched as the workflow does it: what is computed does not depend on the company."""

from types import SimpleNamespace

import numpy as np
import pytest
import test_families
import tiny_families

from vlmscope.capture import plan, run
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch

# None of these sides is a multiple of every patch size; the last two are alike.
SIZES = ((28, 28), (14, 40), (50, 13), (30, 11), (30, 11))
LARGE = ((84, 56), (56, 140), (112, 84), (60, 60), (60, 60))


@pytest.fixture
def mixed(family, monkeypatch):
    """The tiny model, and five samples with pictures of mixed size."""
    bench = test_families.bench(family)
    if family == "idefics2":
        # The tiny checkpoint brings all pictures to one size; published ones keep them apart.
        pictures = bench.loaded.processor.image_processor
        settings = pictures.to_dict() | {"size": {"shortest_edge": 9, "longest_edge": 28}}
        monkeypatch.setattr(bench.loaded.processor, "image_processor", type(pictures).from_dict(settings))
    sizes = LARGE if tiny_families.BUILDERS[family].pictures == tiny_families.LARGE else SIZES
    return test_families.Bench(bench.loaded, sizes)


def sample(bench, number):
    width, height = bench.sizes[number]
    text = bench.loaded.family.template.format(prompt=f"<image>\n{test_families.question(number % 4)}")
    return SimpleNamespace(width=width, height=height, text=text, number=number)


def tensors(bench, samples):
    pictures = [test_families.picture((one.width, one.height), one.number) for one in samples]
    return inputs.encode(bench.loaded, [one.text for one in samples], pictures, "right")


def captured(bench, batch):
    """Counts of every site, and states of the last block, five samples in batches."""
    loaded, samples = bench.loaded, [sample(bench, number) for number in range(5)]
    takes = [
        {"site": name, "where": "all", "keep": "counts"}
        for name, site in loaded.family.sites.items()
        if site.stream != "attention"
    ]
    takes += [{"site": "resid_post", "where": "all", "keep": "values"}]
    rows = list(inputs.batches(loaded, [one.text for one in samples], samples, batch))
    assert sorted(row for part in rows for row in part) == list(range(5))
    assert inputs.rounds(loaded, samples, batch) == len(rows)
    stream = [Batch(part, tensors(bench, [samples[row] for row in part])) for part in rows]
    return run.capture(loaded, plan.resolve(takes, loaded.family, loaded.config), stream)


@test_families.every_family
def test_pictures_of_mixed_size_are_seen_as_if_alone(mixed):
    single, batched = captured(mixed, 1), captured(mixed, 4)
    for one, many in zip(single, batched, strict=True):
        if one.take.keep == "values":
            np.testing.assert_allclose(one.arrays["values"], many.arrays["values"], atol=1e-5, rtol=1e-5)
            continue
        assert one.arrays["seen"] == many.arrays["seen"], one.take.name
        np.testing.assert_array_equal(one.arrays["fired"], many.arrays["fired"], err_msg=one.take.name)


@pytest.mark.parametrize("family", ["idefics2"])
def test_pictures_that_would_change_each_other_do_not_share_a_batch(mixed):
    samples = [sample(mixed, number) for number in range(5)]
    assert inputs.rounds(mixed.loaded, samples, 4) == 4
    with pytest.raises(VlmscopeError, match="idefics2 would see each differently"):
        tensors(mixed, samples[:2])
    assert len(tensors(mixed, samples[3:])["input_ids"]) == 2
