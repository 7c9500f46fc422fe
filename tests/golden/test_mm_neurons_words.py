"""Decoded tokens of neurons against the released preparation on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope.mm_neurons.rank import scores, words
from vlmscope.models.base import family
from vlmscope.store.weights import Weights

HERE = Path(__file__).parent / "mm_neurons"
K = 10


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "preparation.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def vocabulary():
    return json.loads((HERE / "llava_tiny" / "vocab.json").read_text())["words"]


@pytest.fixture(scope="module")
def weights():
    return Weights(HERE / "llava_tiny", "float32")


def test_the_weights_are_those_that_were_prepared(golden, weights):
    np.testing.assert_array_equal(weights.read("lm_head").numpy(), golden["unembedding"].T)
    for layer, wanted in enumerate(golden["mlp_out"]):
        path = family("llava_llama2").site("mlp_hidden").columns.replace("{l}", str(layer))
        np.testing.assert_array_equal(weights.read(path).numpy(), wanted.T)


def test_projections_are_the_released_ones_to_a_step_of_half_precision(golden):
    rows = torch.from_numpy(golden["unembedding"]).T.contiguous()
    differing = 0
    for layer, wanted in enumerate(golden["layer_projection"]):
        down = torch.from_numpy(golden["mlp_out"][layer]).T
        found = scores.projection(down, rows, "official_fp16").numpy().T.astype(np.float16)
        # Neighbouring numbers of half precision have neighbouring bits.
        steps = np.abs(found.view(np.int16).astype(int) - wanted.view(np.int16).astype(int))
        assert steps.max() <= 1
        differing += int((steps > 0).sum())
    assert differing <= 30


@pytest.fixture(scope="module")
def found(weights, vocabulary):
    names = ["" if number < 3 else text.removeprefix("##") for number, text in enumerate(vocabulary)]
    return words.table(weights, family("llava_llama2"), 3, len(vocabulary), names, k=K, fold_norm=False)


@pytest.mark.parametrize(("end", "sign"), [("top", 1), ("bottom", -1)])
def test_tokens_are_the_released_ones_but_inside_ties(golden, found, end, sign):
    ids = found.filter(end=end)["token_id"].to_numpy().reshape(3, 48, K)
    projected = sign * golden["layer_projection"].astype(np.float32)
    ordered = np.sort(projected, axis=-1)[..., ::-1]
    chosen = np.take_along_axis(projected, ids, axis=-1)
    step = np.maximum(np.abs(ordered[..., :K]), 2**-14) * 2.0**-10
    assert (np.abs(chosen - ordered[..., :K]) <= step).all()
    # Where the k-th and the next stand apart by more than a step, the sets are equal.
    clear = ordered[..., K - 1] - ordered[..., K] > 2 * step[..., K - 1]
    wanted = np.argsort(-projected, axis=-1, kind="stable")[..., :K]
    assert clear.mean() > 0.9
    assert (np.sort(ids[clear]) == np.sort(wanted[clear])).all()


def test_texts_are_the_released_ones_where_no_two_projections_are_equal(golden, found):
    wanted = json.loads((HERE / "preparation_neuron_tokens.json").read_text())
    texts = np.array(found.filter(end="top")["token"].to_list()).reshape(3, 48, K)
    ordered = np.sort(golden["layer_projection"].astype(np.float32), axis=-1)[..., ::-1][..., : K + 1]
    tied = (np.diff(ordered, axis=-1) == 0).any(-1)
    for layer, unit in np.argwhere(~tied):
        assert texts[layer, unit].tolist() == wanted[layer][unit]
    assert tied.sum() == 4
