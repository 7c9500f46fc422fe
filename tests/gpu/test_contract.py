"""What every model family promises (tests/contract/test_families.py), on a GPU, in float32, bfloat16 and float16."""

import functools
import inspect

import machine
import numpy as np
import pytest
import test_families
import tiny_families
import torch

from vlmscope.capture import plan, run
from vlmscope.models import base
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

if machine.lacking():
    pytest.skip(machine.lacking(), allow_module_level=True)

# Checks that compare passes of different shape, or a small change with none. Their bounds are those of float32; what
# 16 bit leave of them is checked at the end of this file.
EXACT = {
    "test_image_positions_are_filled_with_image_embeddings",
    "test_silencing_a_site_moves_the_logits_unless_the_layer_is_inert",
    "test_attention_probabilities_are_those_the_model_reports",
    "test_logits_are_computed_where_a_take_looks",
    "test_batched_values_equal_single_ones",
    "test_counts_do_not_depend_on_the_batch",
    "test_greedy_answers_in_a_left_padded_batch_equal_single_ones",
    "test_cached_decoding_equals_a_forward_pass_over_the_whole_text",
}
# Kernels of a GPU add in an order that depends on the shape: float32 then differs by about this.
ROUNDING = 1e-4
# dtype -> largest relative error of states between batches and against float32, largest share of other decisions.
NEAR = {"bfloat16": (0.05, 0.1, 0.03), "float16": (0.01, 0.02, 0.01)}


@functools.cache
def bench(name, precision):
    """The tiny model of a family on the device."""
    kind, builder = base.family(name), tiny_families.BUILDERS[name]
    model, processor = tiny_families.build(kind, builder)
    model.to(machine.DEVICE, getattr(torch, precision))
    return test_families.Bench(Loaded(model, processor, kind, {}), tuple(builder.pictures))


def pytest_generate_tests(metafunc):
    """Each check in every precision in which it can hold."""
    if "precision" in metafunc.fixturenames:
        everywhere = metafunc.function.__name__ not in EXACT
        metafunc.parametrize("precision", ["float32", "bfloat16"] if everywhere else ["float32"])


@pytest.fixture
def set_up(family, precision):
    return bench(family, precision)


def checks():
    """The contract's checks of a built model; those of files alone need no GPU."""
    for name, check in vars(test_families).items():
        if name.startswith("test_") and "set_up" in inspect.signature(check).parameters:
            yield name, check


globals().update(checks())


@pytest.fixture(autouse=True)
def rounding(monkeypatch):
    """The bounds of a GPU, where the contract compares with those of a CPU; equality stays equality."""
    if machine.DEVICE != "cuda":
        return

    def loose(compare, usual):
        def compared(one, other, *, atol=0, rtol=usual, **rest):
            exact = not (atol or rtol)
            bounds = (atol, rtol) if exact else (max(atol, ROUNDING), max(rtol, ROUNDING))
            compare(one, other, atol=bounds[0], rtol=bounds[1], **rest)

        return compared

    same = np.testing.assert_array_equal

    def counted(one, other, **rest):
        # An activation within rounding of zero fires in one batch and not in another.
        if np.ndim(one) == 2 and np.asarray(one).dtype == np.int64:
            differ = np.abs(one - other)
            assert differ.max() <= 1 and (differ > 0).mean() < 0.01
        else:
            same(one, other, **rest)

    monkeypatch.setattr(torch.testing, "assert_close", loose(torch.testing.assert_close, 0))
    monkeypatch.setattr(np.testing, "assert_allclose", loose(np.testing.assert_allclose, 1e-7))
    monkeypatch.setattr(np.testing, "assert_array_equal", counted)


def test_the_checks_that_are_left_to_float32_are_there():
    assert set(dict(checks())) > EXACT


# ---- 16 bit ------------------------------------------------------------------------------------------------------


@functools.cache
def kept(name, precision, groups):
    """States of all blocks and counts of all sites, four samples in batches."""
    bench_, family = bench(name, precision), base.family(name)
    takes = [{"site": "resid_post", "where": "all", "keep": "values"}]
    takes += [
        {"site": site, "where": "all", "keep": "counts"}
        for site, place in family.sites.items()
        if place.stream != "attention"
    ]
    loaded = bench_.loaded
    batches = [Batch(rows, bench_.padded(rows)) for rows in groups]
    return [one.arrays for one in run.capture(loaded, plan.resolve(takes, family, loaded.config), batches)]


def error(one, other):
    """Of states, relative to their size."""
    return np.linalg.norm(one["values"] - other["values"]) / np.linalg.norm(other["values"])


def decisions(one, other):
    """Share of positions and units that fire in one and not in the other, at least."""
    assert one["seen"] == other["seen"]
    return np.abs(one["fired"] - other["fired"]).sum() / (one["seen"] * one["fired"].size)


@pytest.mark.parametrize("half", NEAR)
@test_families.every_family
def test_16_bit_stay_near_float32_and_the_batch_matters_little(family, half):
    single, pairs = ((0,), (1,), (2,), (3,)), ((3, 1), (0, 2))
    exact, alone, together = kept(family, "float32", single), kept(family, half, single), kept(family, half, pairs)
    between, against, share = NEAR[half]
    assert error(together[0], alone[0]) < between
    assert error(alone[0], exact[0]) < against
    for one, other, reference in zip(together[1:], alone[1:], exact[1:], strict=True):
        assert decisions(one, other) < share
        assert decisions(other, reference) < share
