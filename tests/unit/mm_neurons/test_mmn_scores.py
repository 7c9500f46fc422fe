import numpy as np
import pytest
import torch

from vlmscope.mm_neurons.rank import scores


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(values, k):
    """Places by falling value, equal ones by place."""
    return np.argsort(-np.asarray(values, np.float64), axis=-1, kind="stable")[..., :k]


@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_the_best_come_in_falling_order(k):
    values = drawn(7, 40)
    found, places = scores.best(values, k)
    np.testing.assert_array_equal(places, reference(values, k))
    np.testing.assert_array_equal(found, values.gather(1, places))


@pytest.mark.parametrize("step", [0.5, 1.0, 1e-3])
def test_equal_values_come_in_the_order_of_their_places(step):
    values = (drawn(20, 60) / step).round() * step
    np.testing.assert_array_equal(scores.best(values, 25)[1], reference(values, 25))


def test_zeros_of_both_signs_are_equal_and_extremes_keep_their_place():
    values = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, 1e-45, -1e-45, -0.0, 3e38, -3e38])
    found, places = scores.best(values, 9)
    assert places.tolist() == [2, 7, 4, 0, 1, 6, 5, 8, 3]
    assert found[0] == torch.inf


def test_a_long_axis_keeps_ties_apart():
    values = torch.zeros(600_000)
    values[[17, 599_999]] = 1.0
    assert scores.best(values, 5)[1].tolist() == [17, 599_999, 0, 1, 2]


def test_projections_are_what_a_unit_adds_to_a_logit():
    down, rows = drawn(12, 30), drawn(5, 12, seed=1)
    found = scores.projection(down, rows)
    for unit in (0, 7, 29):
        z = torch.zeros(30)
        z[unit] = 1.0
        torch.testing.assert_close(found[:, unit], rows @ (down @ z))


def test_released_arithmetic_rounds_projection_and_product():
    activation, down, rows = drawn(3, 30).half(), drawn(12, 30), drawn(3, 12, seed=1)
    projected = scores.projection(down, rows, "official_fp16")
    found = scores.contribution(activation, projected, "official_fp16")
    half = (rows @ down).numpy().astype(np.float16)
    np.testing.assert_array_equal(found.numpy().astype(np.float16), activation.numpy() * half)
    exact = scores.contribution(activation, scores.projection(down, rows))
    assert 0 < (found - exact).abs().max() < 0.05
