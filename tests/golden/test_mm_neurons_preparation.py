"""Exported preparation against the files that the released code made of a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.exchange import preparation
from vlmscope.mm_neurons.rank import words
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.models.base import family
from vlmscope.store import files, tables, torch_files
from vlmscope.store.weights import Weights

HERE = Path(__file__).parent / "mm_neurons"
KIND = family("llava_llama2")


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "preparation.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder, and its manifest."""
    work = tmp_path_factory.mktemp("preparation")
    vocabulary = json.loads((HERE / "llava_tiny" / "vocab.json").read_text())["words"]
    names = ["" if number < 3 else text.removeprefix("##") for number, text in enumerate(vocabulary)]
    weights = Weights(HERE / "llava_tiny", "float32")
    told = words.table(weights, KIND, 3, len(vocabulary), names, k=10, fold_norm=False)
    tables.write(told, work / "tokens.parquet", NEURON_TOKENS)
    for name in ("config.json", "model.safetensors"):
        (work / name).symlink_to(HERE / "llava_tiny" / name)
    # A tokenizer of as many words.
    Tokenizer(models.WordLevel({str(place): place for place in range(len(vocabulary))}, unk_token="0")).save(
        str(work / "tokenizer.json")
    )
    about = {"folder": str(work), "family": KIND.name, "dtype": "float32", "fingerprint": "tiny"}
    files.write_json(about, work / "model.json")
    made = preparation.write(work / "out", model=str(work / "model.json"), tokens=str(work / "tokens.parquet"))
    return work / "out", made


def test_weights_are_the_prepared_ones(written, golden):
    folder, _ = written
    np.testing.assert_array_equal(torch_files.read(folder / "llava_13b_unembedding"), golden["unembedding"])
    for layer, wanted in enumerate(golden["mlp_out"]):
        np.testing.assert_array_equal(torch_files.read(folder / f"llava_13b_mlp_out/layer_{layer}"), wanted)


def test_projections_are_the_prepared_ones_to_a_step_of_half_precision(written, golden):
    folder, _ = written
    for layer, wanted in enumerate(golden["layer_projection"]):
        found = torch.load(folder / f"llava_13b_layer_projection/layer_{layer}", weights_only=True).numpy()
        assert found.dtype == wanted.dtype == np.float16
        steps = np.abs(found.view(np.int16).astype(int) - wanted.view(np.int16).astype(int))
        assert steps.max() <= 1 and (steps > 0).sum() <= 10


def test_words_are_the_prepared_ones_but_for_ties(written):
    found = torch_files.read(written[0] / "llava_13b_neuron_tokens")
    wanted = json.loads((HERE / "preparation_neuron_tokens.json").read_text())
    assert [[len(unit) for unit in layer] for layer in found] == [[10] * 48] * 3
    pairs = [pair for one, two in zip(found, wanted, strict=True) for pair in zip(one, two, strict=True)]
    # The released order is that of half precision, and arbitrary among equal numbers.
    assert sum(own != other for own, other in pairs) <= 5
    assert sum(sorted(own) != sorted(other) for own, other in pairs) <= 2


def test_the_manifest_names_every_file(written):
    folder, made = written
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(made["files"]) == there and len(there) == 2 + 2 * 3
    assert all(digest == files.digest(folder / name) for name, digest in made["files"].items())


def test_families_that_the_released_code_does_not_know_have_no_preparation():
    assert preparation.flag("mplug_owl2") == "mplug_owl2_7b"
    with pytest.raises(VlmscopeError, match="no model of the family 'molmo'"):
        preparation.flag("molmo")
