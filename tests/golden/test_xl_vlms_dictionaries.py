"""Dictionaries, words, pictures and overlap against the released functions."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlmscope.xl_vlms.dictionaries import dictionary, overlap
from vlmscope.xl_vlms.words import grounding
from vlmscope.xl_vlms.words.filter import WordFilter, is_number

HERE = Path(__file__).parent / "xl_vlms"
# Tolerances of concepts and of activations, as shares of the largest activation (xl_vlms.md 11, check 6).
CLOSE = {"snmf": (1e-4, 2e-3), "kmeans": (1e-5, 1e-5), "pca": (1e-5, 1e-5), "simple": (0, 1e-6)}


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "decomposition.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def told():
    return json.loads((HERE / "grounding.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def arrays():
    with np.load(HERE / "grounding.npz") as file:
        return dict(file)


@pytest.mark.parametrize("method", CLOSE)
def test_a_dictionary_is_the_released_one(golden, method):
    found = dictionary.fit(golden["Z"], method, 5)
    concepts, activations = CLOSE[method]
    scale = np.abs(golden[f"{method}_activations"]).max()
    np.testing.assert_allclose(found.concepts, golden[f"{method}_concepts"], atol=concepts)
    np.testing.assert_allclose(found.activations, golden[f"{method}_activations"], atol=activations * scale)
    projected = dictionary.project(found, golden["Z_test"])
    np.testing.assert_allclose(projected, golden[f"{method}_project_test"], atol=activations * scale)


def test_snmf_takes_the_released_steps(golden):
    found = dictionary.fit(golden["Z"], "snmf", 5)
    steps = int(golden["snmf_n_iter"])
    assert abs(len(found.costs) - steps) <= 1
    # In between the released code stops its inner loop in single precision.
    np.testing.assert_allclose(found.costs[:steps], golden["snmf_cost"], rtol=1e-5)
    assert found.costs[-1] == pytest.approx(golden["snmf_cost"][-1], rel=1e-6)
    again = dictionary.project(found, golden["Z"])
    np.testing.assert_allclose(again, golden["snmf_transform_train"], atol=2e-3 * again.max())


def test_codes_of_weak_vectors_are_mostly_zero_as_released(golden):
    found = dictionary.fit(golden["Z"] * np.float32(0.05), "snmf", 5)
    np.testing.assert_allclose(found.concepts, golden["snmf_small_scale_concepts"], atol=1e-4)
    np.testing.assert_allclose(found.activations, golden["snmf_small_scale_activations"], atol=1e-4)
    assert (found.activations == 0).mean() > 0.5


@pytest.mark.parametrize("method", ["kmeans", "snmf"])
def test_ready_concepts_get_the_released_activations(golden, method):
    found = dictionary.given(golden["given_concepts"], method, golden["Z"])
    wanted = golden[f"{method}_given_activations"]
    np.testing.assert_allclose(found.activations, wanted, atol=1e-5 * wanted.max())


def test_the_mean_of_pca_is_the_released_one(golden):
    found = dictionary.fit(golden["Z"], "pca", 5)
    np.testing.assert_allclose(found.mean, golden["pca_mean"], atol=1e-6)


def word_filter(told):
    return WordFilter(frozenset(told["corpus"]), frozenset(told["stopwords"]))


@pytest.mark.parametrize("keep", [8, 5])
def test_words_of_concepts_are_the_released_ones(told, arrays, keep):
    found = grounding.words(
        arrays["concepts"], arrays["lm_head"], told["vocab"], word_filter(told), tokens=30, keep=keep
    )
    assert found == told[f"grounding_top{keep}_of30"]


def test_pictures_of_concepts_are_the_released_ones(arrays):
    np.testing.assert_array_equal(grounding.images(arrays["activations"], 3), arrays["image_indices_top3"])


def test_words_count_as_in_the_released_filter():
    told = json.loads((HERE / "valid_word.json").read_text(encoding="utf-8"))
    accept = word_filter(told)
    assert [accept(word) for word in told["words"]] == told["valid"]
    assert [is_number(word) for word in told["words"]] == told["is_number"]


def test_overlap_is_the_released_one(told):
    words = told["grounding_top8_of30"]
    np.testing.assert_allclose(overlap.matrix(words), told["overlap_matrix"])
    assert overlap.overlap(words) == pytest.approx(told["overlap"])
    hard = told["overlap_dup_empty"]
    np.testing.assert_allclose(overlap.matrix(hard["words"]), hard["matrix"])
    assert overlap.overlap(hard["words"]) == pytest.approx(hard["overlap"])
