"""Classes of states: measures against scikit-learn, chance for shuffled labels (xl_vlms.md 7)."""

import numpy as np
import pytest

from vlmscope.xl_vlms.steer import separability

drawn = np.random.default_rng(0)
LABELS = np.repeat(np.array(["a", "b", "c"]), [40, 25, 15])
CENTRES = {"a": 0.0, "b": 3.0, "c": -3.0}
APART = drawn.normal(size=(80, 12)) + np.array([CENTRES[one] for one in LABELS])[:, None]
ALIKE = drawn.normal(size=(80, 12))
OPTIONS = {"folds": 4, "permutations": 20, "resamples": 200, "seed": 0}


@pytest.mark.parametrize("values", [APART, ALIKE], ids=["apart", "alike"])
def test_the_silhouette_is_that_of_scikit_learn(values):
    from sklearn.metrics import silhouette_score

    points = separability.plane(values).points
    assert separability.silhouette(points, LABELS) == pytest.approx(silhouette_score(points, LABELS), abs=1e-9)


def test_the_plane_is_that_of_scikit_learn_up_to_signs():
    from sklearn.decomposition import PCA

    found, fit = separability.plane(APART), PCA(2).fit(APART)
    np.testing.assert_allclose(np.abs(found.points), np.abs(fit.transform(APART)), atol=1e-8)
    assert found.explained == pytest.approx(fit.explained_variance_ratio_.sum())


def test_states_far_apart_are_told_right_and_others_by_chance():
    far, near = (separability.measures(values, LABELS, **OPTIONS) for values in (APART, ALIKE))
    assert far["linear_accuracy"] > 0.97 and far["linear_low"] <= far["linear_accuracy"] <= far["linear_high"]
    assert far["silhouette"] > 0.4 and abs(far["permuted_silhouette"]) < 0.1
    for one in (far["permuted_accuracy"], near["permuted_accuracy"], near["linear_accuracy"]):
        assert abs(one - 1 / 3) < 0.15


def test_every_class_counts_alike():
    right = np.array([True] * 40 + [False] * 25 + [True] * 15)
    assert separability.balanced(right, LABELS) == pytest.approx(2 / 3)


def test_parts_hold_all_classes():
    part = separability._parts(np.unique(LABELS, return_inverse=True)[1], 4, 0)
    for label in "abc":
        counts = np.bincount(part[label == LABELS], minlength=4)
        assert counts.max() - counts.min() <= 1


def test_a_state_is_never_told_by_a_map_that_saw_it():
    """Labels that are noise are told no better than by chance, although there are more units than states."""
    values = drawn.normal(size=(40, 200))
    labels = np.repeat(["a", "b"], 20)
    assert abs(separability.balanced(separability.told_right(values, labels, 4, 0), labels) - 0.5) < 0.25
