"""Random neurons and noise: nested in size, of the same layers, repeatable."""

import numpy as np
import pytest

from vlmscope.mm_neurons.perturb import noise

SHAPE = (3, 40)


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    few, many = noise.drawn(SHAPE, 5, 7), noise.drawn(SHAPE, 30, 7)
    assert all(np.array_equal(one, other[:5]) for one, other in zip(few, many, strict=True))
    assert np.array_equal(noise.rows(5, 8, 7), noise.rows(30, 8, 7)[:5])
    assert not np.array_equal(noise.rows(5, 8, 7), noise.rows(5, 8, 8))


def test_random_neurons_are_different_ones_from_everywhere():
    layers, units = noise.drawn(SHAPE, 120, 1)
    assert {(int(layer), int(unit)) for layer, unit in zip(layers, units, strict=True)} == {
        (layer, unit) for layer in range(3) for unit in range(40)
    }


@pytest.mark.parametrize("seed", range(5))
def test_matched_neurons_stand_in_the_layers_of_the_first_ones_whatever_their_number(seed):
    layers = np.random.default_rng(seed).integers(0, 3, 60).astype(np.uint8)
    found, units = noise.like(layers, 40, seed)
    assert np.array_equal(found, layers) and found.dtype == np.int64
    assert len({(int(layer), int(unit)) for layer, unit in zip(found, units, strict=True)}) == 60
    assert units.max() < 40
    assert not np.array_equal(units, noise.like(layers, 40, seed + 1)[1])


def test_noise_is_of_unit_variance_and_scaled_by_the_neuron():
    drawn = noise.rows(200, 300, 3)
    assert drawn.dtype == np.float32
    assert abs(drawn.std() - 1) < 0.01 and abs(drawn.mean()) < 0.01
    places = np.array([0, 1]), np.array([1, 0])
    sizes = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    np.testing.assert_allclose(noise.scale(0.5, sizes, places), [[1.0], [1.5]])
    np.testing.assert_allclose(noise.scale(0.5, None, places), [[0.5], [0.5]])
