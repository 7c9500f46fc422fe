"""Concept dictionaries (xl_vlms.md 11, checks 6 and 7)."""

import warnings

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.decomposition import DictionaryLearning

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.dictionaries import dictionary, semi_nmf, snmf

K = 4


@pytest.fixture(scope="module")
def values():
    generator = np.random.default_rng(3)
    mixed = generator.gamma(1.0, 5.0, (60, K)) @ generator.normal(size=(K, 16))
    return (mixed + generator.normal(size=(60, 16))).astype(np.float32)


def loss(values, code, concepts):
    return ((values.astype(np.float64) - code.astype(np.float64) @ concepts.astype(np.float64)) ** 2).sum()


@pytest.mark.parametrize("method", dictionary.METHODS)
def test_the_same_seed_gives_the_same_dictionary(values, method):
    one, other = (dictionary.fit(values, method, K, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.concepts, other.concepts)
    np.testing.assert_array_equal(one.activations, other.activations)
    assert one.concepts.dtype == one.activations.dtype == np.float32
    assert one.concepts.shape == (K, 16) and one.activations.shape == (60, K)


@pytest.mark.parametrize("method", dictionary.METHODS)
def test_half_precision_is_made_single_first(values, method):
    rough = values.astype(np.float16)
    one, other = (dictionary.fit(part, method, K) for part in (rough, rough.astype(np.float32)))
    np.testing.assert_array_equal(one.concepts, other.concepts)


# ---- snmf --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 1.0, 20.0])
def test_snmf_is_that_of_scikit_learn(values, alpha):
    found = dictionary.fit(values, "snmf", K, alpha=alpha)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = {"positive_code": True, "fit_algorithm": "cd", "transform_algorithm": "lasso_cd", "tol": 1e-8}
        theirs = DictionaryLearning(K, alpha=alpha, max_iter=5000, transform_max_iter=1000, random_state=0, **kept)
        code = theirs.fit_transform(values)
    scale = code.max()
    np.testing.assert_allclose(found.concepts, theirs.components_, atol=1e-3)
    np.testing.assert_allclose(dictionary.project(found, values), code, atol=2e-3 * scale)
    assert found.costs[-1] == pytest.approx(theirs.error_[-1], rel=1e-5)


def test_snmf_never_gets_worse_and_keeps_its_bounds(values):
    found = dictionary.fit(values, "snmf", K)
    assert (np.diff(found.costs) <= 1e-9 * found.costs[0]).all()
    assert found.activations.min() >= 0
    assert np.linalg.norm(found.concepts, axis=1).max() <= 1 + 1e-6


def test_codes_meet_the_conditions_of_the_least(values):
    found = dictionary.fit(values, "snmf", K, alpha=5.0)
    concepts = found.concepts.astype(np.float64)
    code = snmf.codes(values.astype(np.float64), concepts, 5.0)
    slope = (code @ concepts - values) @ concepts.T + 5.0
    assert (code == 0).any()
    assert np.abs(slope[code > 0]).max() < 1e-4 * np.abs(values @ concepts.T).max()
    assert slope[code == 0].min() > -1e-3


def test_codes_of_concepts_that_are_almost_alike_are_the_least(values):
    concepts = np.random.default_rng(2).normal(size=(3, 16))
    concepts = np.concatenate([concepts, concepts + 1e-3])
    code = snmf.codes(values.astype(np.float64), concepts, 0.5)
    padded = np.concatenate([concepts.T, np.zeros((1, 6))])
    gram = concepts @ concepts.T
    for row, own in zip(values.astype(np.float64), code, strict=True):
        # Completing the square: alpha moves into the target.
        target = np.linalg.lstsq(concepts, -np.full(6, 0.5), rcond=None)[0]
        wanted = nnls(padded[:-1], row + target)[0]

        def goal(v, row=row):
            return 0.5 * v @ gram @ v - (concepts @ row - 0.5) @ v

        assert goal(own) <= goal(wanted) + 1e-6 * abs(goal(wanted))


def test_samples_in_another_order_have_their_codes_in_that_order(values):
    order = np.random.default_rng(0).permutation(len(values))
    one, other = dictionary.fit(values, "snmf", K), dictionary.fit(values[order], "snmf", K)
    np.testing.assert_allclose(one.concepts, other.concepts, atol=1e-4)
    np.testing.assert_allclose(one.activations[order], other.activations, atol=1e-3 * one.activations.max())


def test_a_concept_that_no_code_uses_is_drawn_anew():
    values = np.zeros((6, 5))
    values[:3, 0] = 3.0
    values[3:, 1] = 3.0
    concepts, code, _ = snmf.learn(values, 4, seed=0, alpha=0.1, max_iter=20)
    assert np.isfinite(concepts).all() and np.isfinite(code).all()
    assert loss(values, code, concepts) < 0.2


# ---- semi_nmf ----------------------------------------------------------------------------------------------------


def alternating(values, k, seed, rounds=200):
    """Another way to the same least: exact non-negative least squares row by row, and plain least squares."""
    code = np.eye(k)[np.random.default_rng(seed).integers(0, k, len(values))] + 0.2
    for _ in range(rounds):
        concepts = np.linalg.lstsq(code, values, rcond=None)[0]
        code = np.stack([nnls(concepts.T, row)[0] for row in values])
    return loss(values, code, concepts)


def test_semi_nmf_comes_as_low_as_exact_alternating_least_squares(values):
    found = dictionary.fit(values, "semi_nmf", K)
    best = min(alternating(values.astype(np.float64), K, seed) for seed in range(3))
    assert loss(values, found.activations, found.concepts) <= 1.02 * best


def test_semi_nmf_never_gets_worse(values):
    found = dictionary.fit(values, "semi_nmf", K)
    assert len(found.costs) > 5
    assert (np.diff(found.costs) <= 1e-9 * found.costs[0]).all()
    assert found.activations.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(found.concepts, axis=1), 1, atol=1e-5)


def test_one_step_of_semi_nmf_is_the_rule_written_out(values):
    values = values[:5].astype(np.float64)
    generator = np.random.default_rng(1)
    code, concepts = generator.uniform(0.1, 1, (5, 3)), generator.normal(size=(3, 16))
    wanted = code.copy()
    for m in range(5):
        for k in range(3):
            to = [values[m] @ concepts[k]]
            among = [code[m, other] * (concepts[other] @ concepts[k]) for other in range(3)]
            up = sum(max(one, 0) for one in to) + sum(max(-one, 0) for one in among)
            down = sum(max(-one, 0) for one in to) + sum(max(one, 0) for one in among)
            wanted[m, k] = code[m, k] * np.sqrt(up / down)
    np.testing.assert_allclose(semi_nmf.multiply(code, values @ concepts.T, concepts @ concepts.T), wanted)


def test_projection_on_semi_nmf_is_non_negative_least_squares(values):
    found = dictionary.fit(values, "semi_nmf", K)
    wanted = np.stack([nnls(found.concepts.T.astype(np.float64), row)[0] for row in values.astype(np.float64)])
    np.testing.assert_allclose(dictionary.project(found, values), wanted, atol=1e-4 * wanted.max())


# ---- kmeans, pca, simple -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["kmeans", "simple"])
def test_nearness_lies_above_zero_and_is_greatest_at_the_nearest(values, method):
    found = dictionary.fit(values, method, K)
    assert (found.activations > 0).all() and (found.activations <= 1).all()
    apart = np.linalg.norm(values[:, None] - found.concepts[None], axis=-1)
    np.testing.assert_array_equal(found.activations.argmax(axis=1), apart.argmin(axis=1))
    np.testing.assert_allclose(found.activations, 1 / (1 + apart), rtol=1e-4)
    np.testing.assert_array_equal(dictionary.project(found, values), found.activations)


def test_components_stand_at_right_angles_and_project_as_they_were_fitted(values):
    found = dictionary.fit(values, "pca", K)
    np.testing.assert_allclose(found.concepts @ found.concepts.T, np.eye(K), atol=1e-5)
    np.testing.assert_allclose(dictionary.project(found, values), found.activations, atol=1e-4)
    largest = np.abs(found.concepts).argmax(axis=1)
    assert (found.concepts[np.arange(K), largest] > 0).all()


def test_more_concepts_rebuild_better(values):
    for method in ("snmf", "semi_nmf", "kmeans", "pca"):
        few, many = (dictionary.fit(values, method, k) for k in (2, 8))
        errors = [((values - dictionary.rebuilt(one, one.activations)) ** 2).sum() for one in (few, many)]
        assert errors[1] < errors[0], method


def test_ready_components_take_the_mean_of_the_samples(values):
    fitted = dictionary.fit(values, "pca", K)
    found = dictionary.given(fitted.concepts, "pca", values)
    np.testing.assert_allclose(found.activations, fitted.activations, atol=1e-4)


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 61])
def test_a_size_that_does_not_fit_is_refused(values, k):
    with pytest.raises(VlmscopeError, match="60 vectors do not make"):
        dictionary.fit(values, "kmeans", k)


def test_numbers_that_are_none_are_refused(values):
    spoilt = values.copy()
    spoilt[3, 2] = np.nan
    with pytest.raises(VlmscopeError, match="finite"):
        dictionary.fit(spoilt, "snmf", K)


def test_vectors_of_another_width_are_refused(values):
    with pytest.raises(VlmscopeError, match="16"):
        dictionary.project(dictionary.fit(values, "pca", K), values[:, :5])


def test_an_unknown_method_is_refused(values):
    with pytest.raises(VlmscopeError, match="nmf2"):
        dictionary.fit(values, "nmf2", K)
