"""Steering vectors against formulas written out by hand (xl_vlms.md 2.10, 11)."""

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.steer import vectors as directions

drawn = np.random.default_rng(0)
BASE, TARGET = drawn.normal(size=(30, 6)).astype(np.float32), drawn.normal(1, size=(20, 6)).astype(np.float32)


def test_the_shift_is_mean_of_target_minus_mean_of_base_also_of_half_precision():
    expected = TARGET.mean(0) - BASE.mean(0)
    np.testing.assert_allclose(directions.shift_of_means(BASE, TARGET), expected, atol=1e-6)
    half = directions.shift_of_means(BASE.astype(np.float16), TARGET.astype(np.float16))
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, expected, atol=2e-3)


@pytest.mark.parametrize("which", ["base", "target"])
def test_nothing_to_average_is_told(which):
    both = {"base": BASE, "target": TARGET} | {which: BASE[:0]}
    with pytest.raises(VlmscopeError, match=which):
        directions.shift_of_means(**both)


def test_pairs_lead_from_the_first_to_the_second_and_cancel():
    concepts = dictionary.fit(BASE, "kmeans", 4, seed=1).concepts
    found = directions.pairs(concepts)
    for i in range(4):
        for j in range(4):
            np.testing.assert_array_equal(found[i, j], concepts[j] - concepts[i])
    np.testing.assert_array_equal(found, -found.swapaxes(0, 1))
    np.testing.assert_allclose(found.sum((0, 1)), 0, atol=1e-5)


def test_concepts_count_alike_however_many_samples_they_have():
    values = np.concatenate([np.zeros((9, 2)), np.full((1, 2), 10.0)]).astype(np.float32)
    concepts = dictionary.fit(values, "kmeans", 2, seed=0).concepts
    target = np.full((3, 2), 7.0, np.float32)
    np.testing.assert_allclose(directions.from_concepts(concepts, target), [2, 2], atol=1e-5)
    np.testing.assert_allclose(directions.shift_of_means(values, target), [6, 6], atol=1e-5)


def test_what_is_left_stands_at_right_angles_to_all_others():
    vector, others = drawn.normal(size=6), drawn.normal(size=(3, 6))
    left = directions.without(vector, list(others))
    np.testing.assert_allclose(others @ left, 0, atol=1e-5)
    basis = np.linalg.qr(others.T)[0]
    np.testing.assert_allclose(left, vector - basis @ (basis.T @ vector), atol=1e-5)
    np.testing.assert_array_equal(directions.without(vector, []), vector.astype(np.float32))
    np.testing.assert_allclose(directions.without(vector, [vector, 2 * vector]), 0, atol=1e-5)


def test_sums_are_weighted():
    np.testing.assert_allclose(directions.composed([BASE[0], BASE[1]], [1, -2]), BASE[0] - 2 * BASE[1], atol=1e-6)


@pytest.mark.parametrize("draws", [0, 1, 7])
def test_random_directions_are_as_long_as_the_vector_and_the_same_for_a_seed(draws):
    vector = directions.shift_of_means(BASE, TARGET)
    found = directions.random_like(vector, draws, 3)
    assert found.shape == (draws, 6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(vector), rtol=1e-5)
    np.testing.assert_array_equal(found, directions.random_like(vector, 9, 3)[:draws])
    if draws > 1:
        assert not np.allclose(found[0], found[1]) and not np.allclose(found, directions.random_like(vector, draws, 4))


def test_shuffled_labels_lose_the_difference_but_not_the_length():
    far = TARGET + 50
    vector = directions.shift_of_means(BASE, far)
    found = directions.shuffled_like(BASE, far, 200, 0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(vector), rtol=1e-4)
    agreement = found @ vector / (np.linalg.norm(vector) ** 2)
    # Most differences lie along the one there is, but as often backwards.
    assert abs(agreement.mean()) < 1e-6 and (np.abs(agreement) > 0.8).mean() > 0.5
    np.testing.assert_allclose(found[0::2], -found[1::2])
    np.testing.assert_array_equal(directions.shuffled_like(BASE, far, 3, 0), found[:3])


def test_fewer_samples_give_the_shift_with_noise():
    found = directions.fewer(BASE, TARGET, 20, 5, 0)
    assert found.shape == (5, 6)
    assert np.linalg.norm(found.mean(0) - directions.shift_of_means(BASE, TARGET)) < 0.5
    with pytest.raises(VlmscopeError, match="fewer than 21"):
        directions.fewer(BASE, TARGET, 21, 1, 0)


def test_the_nearest_concept_is_found():
    concepts = dictionary.fit(BASE, "kmeans", 3, seed=0).concepts
    distance = np.array([[np.linalg.norm(row - one) for one in concepts] for row in TARGET])
    np.testing.assert_array_equal(directions.nearest(TARGET, concepts), distance.argmin(1))
