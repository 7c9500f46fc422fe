"""What dictionaries are worth, and CLIPScore."""

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from vlmscope.metrics import clip_score
from vlmscope.metrics import concepts as measures


@pytest.fixture
def generator():
    return np.random.default_rng(4)


def test_nmi_is_that_of_scikit_learn(generator):
    for _ in range(5):
        one, other = generator.integers(0, 4, 50), generator.integers(0, 3, 50)
        assert measures.nmi(one, other) == pytest.approx(normalized_mutual_info_score(one, other))
    assert measures.nmi(one, one) == pytest.approx(1)
    assert measures.nmi(np.zeros(5, int), np.zeros(5, int)) == 0


def test_purity_counts_the_commonest_class_of_each_label():
    assert measures.purity(np.array([0, 0, 0, 1, 1]), np.array([2, 2, 0, 1, 1])) == pytest.approx(4 / 5)
    classes = np.array([0, 0, 1, 1, 1])
    assert measures.top_purity(np.array([[0, 1], [0, 2]]), classes) == pytest.approx(0.75)


def test_errors_of_samples_add_up_to_the_error(generator):
    values, rebuilt = generator.normal(size=(2, 20, 6))
    assert measures.errors(values, rebuilt).mean() == pytest.approx(measures.error(values, rebuilt))
    assert measures.error(values, values) == 0
    assert measures.error(values, np.broadcast_to(values.mean(0), values.shape), values.mean(0)) == pytest.approx(1)


def test_concepts_without_a_sample_are_dead():
    activations = np.array([[1.0, 0.0, 0.2], [2.0, 0.0, 0.1]])
    assert measures.dead(activations, nearest=False) == 1
    assert measures.dead(activations, nearest=True) == 2


def test_matching_finds_a_permutation_again(generator):
    concepts = generator.normal(size=(6, 20))
    order = generator.permutation(6)
    rows, columns = measures.matched(measures.cosines(concepts, concepts[order]))
    np.testing.assert_array_equal(order[columns], rows)
    assert measures.matched_mean(measures.cosines(concepts, concepts[order])) == pytest.approx(1)


def test_cka_sees_through_rotation_scale_and_shift(generator):
    values = generator.normal(size=(30, 8))
    turned = 3 * values @ np.linalg.qr(generator.normal(size=(8, 8)))[0] + 5
    assert measures.linear_cka(values, turned) == pytest.approx(1)
    assert measures.linear_cka(values, turned[generator.permutation(30)]) < 0.6


def test_correlations_are_those_of_numpy(generator):
    one, other = generator.normal(size=(2, 25, 3))
    wanted = np.corrcoef(one.T, other.T)[:3, 3:]
    np.testing.assert_allclose(measures.correlations(one, other), wanted)
    assert (measures.correlations(np.ones((25, 1)), other) == 0).all()


def test_uniform_directions_share_a_direction_and_gaussian_ones_do_not(generator):
    kinds = {kind: measures.random_directions(kind, 20, 50, generator) for kind in ("uniform", "gaussian")}
    assert measures.alike(kinds["uniform"]) > 0.6 > 0.3 > measures.alike(kinds["gaussian"])


# ---- CLIPScore ---------------------------------------------------------------------------------------------------


def test_clip_score_is_the_weighted_cosine_and_never_negative():
    images = np.array([[3.0, 0.0]])
    texts = np.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(clip_score.clip_score(images, texts), [[2.5, 2.5 / np.sqrt(2), 0]])
    np.testing.assert_allclose(clip_score.clip_score(images, texts, 1.0)[0, 0], 1)


def test_words_become_one_phrase():
    assert clip_score.phrase(["dog", "red"], "A photo is described by the words ") == (
        "A photo is described by the words dog, red."
    )
    assert clip_score.phrase([], "") == "."


def test_the_most_active_concepts_come_last():
    activations = np.array([[0.1, 0.9, 0.5, 0.0, 0.3, 0.2]])
    places = clip_score.strongest(activations)
    assert places.tolist() == [[0, 5, 4, 2, 1]]
    scores = np.array([[1.0, 2.0, 3.0, 4.0, 6.0]])
    assert clip_score.top_mean(scores, 1).tolist() == [6]
    assert clip_score.top_mean(scores, 3).tolist() == [pytest.approx(13 / 3)]
    assert clip_score.strongest(activations[:, :3]).tolist() == [[0, 2, 1]]
