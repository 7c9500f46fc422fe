import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.rank import words
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.models.base import family
from vlmscope.models.load import describe, load
from vlmscope.store import files
from vlmscope.store.weights import Weights

WEIGHTS = Path(__file__).parents[3] / "weights"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A function that writes the manifest of an embedded model."""

    def of(name, kind, dtype="float32"):
        target = tmp_path_factory.mktemp(name) / "model.json"
        settings = {"family": kind, "checkpoint": f"weights/{name}", "revision": "", "dtype": dtype}
        files.write_json(describe(WEIGHTS / name, settings), target)
        return target

    return of


@pytest.mark.parametrize(
    ("name", "kind"), [("llava-llama2", "llava_llama2"), ("blip", "instructblip"), ("mplug-owl2", "mplug_owl2")]
)
@pytest.mark.parametrize("fold_norm", [False, True])
def test_tokens_are_those_of_the_loaded_model(manifest, name, kind, fold_norm):
    path = manifest(name, kind)
    found = words.from_files(path, decode_k=4, fold_norm=fold_norm)
    assert dict(found.schema) == NEURON_TOKENS
    loaded = load(path)
    site, tokenizer = loaded.family.site("mlp_hidden"), loaded.processor.tokenizer
    layers, units = site.layers(loaded.config), site.width(loaded.config)
    assert len(found) == layers * units * 2 * 4
    head = loaded.model.get_submodule(loaded.family.head).weight[: tokenizer.vocab_size]
    if fold_norm:
        head = head * loaded.model.get_submodule(loaded.family.norm).weight
    for layer in range(layers):
        down = loaded.model.get_submodule(site.columns.replace("{l}", str(layer))).weight
        projected = (down.T @ head.T).numpy()
        for end, sign in (("top", -1), ("bottom", 1)):
            part = found.filter(layer=layer, end=end)
            wanted = np.sort(sign * projected, axis=1)[:, :4]
            logits = np.take_along_axis(projected, part["token_id"].to_numpy().reshape(units, 4), axis=1)
            np.testing.assert_allclose(sign * logits, wanted, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(part["logit"].to_numpy(), logits.ravel(), rtol=2**-10, atol=1e-7)
            assert part["rank"].to_list() == list(range(4)) * units
            texts = [tokenizer.decode([token], skip_special_tokens=True) for token in part["token_id"]]
            assert part["token"].to_list() == texts


def test_weights_are_rounded_as_the_model_reads_them(manifest):
    half = words.from_files(manifest("llava-llama2", "llava_llama2", "bfloat16"), decode_k=2, fold_norm=False)
    single = words.from_files(manifest("llava-llama2", "llava_llama2"), decode_k=2, fold_norm=False)
    difference = (half["logit"] - single["logit"]).abs()
    assert 0 < difference.max() < 0.05 * single["logit"].abs().max()


def test_a_model_that_writes_nothing_is_refused(manifest):
    with pytest.raises(VlmscopeError, match="writes no text"):
        words.from_files(manifest("clip", "clip"), decode_k=2, fold_norm=False)


def test_equal_projections_come_by_the_number_of_the_token():
    down, rows = torch.ones(3, 2), torch.ones(6, 3)
    for _, ids, logits in words.decoded(down, rows, 4):
        assert ids.tolist() == [[0, 1, 2, 3]] * 2
        assert (logits == 3).all()


def test_blocks_do_not_change_the_tokens(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    down, rows = torch.randn(8, 33, generator=generator), torch.randn(50, 8, generator=generator)
    whole = list(words.decoded(down, rows, 5))
    monkeypatch.setattr(words, "MOST_VALUES", 7 * 50)
    for (end, ids, logits), (other, more, values) in zip(whole, words.decoded(down, rows, 5), strict=True):
        assert end == other and torch.equal(ids, more)
        torch.testing.assert_close(logits, values)


def test_a_vocabulary_smaller_than_k_is_listed_whole():
    weights = Weights(WEIGHTS / "llava-llama2")
    found = words.table(weights, family("llava_llama2"), 1, 3, ["a", "b", "c"], k=10, fold_norm=False)
    assert found.filter(pl.col("unit") == 0, end="top")["token"].sort().to_list() == ["a", "b", "c"]


MEMORY = """
import resource, sys, torch
from vlmscope.mm_neurons.rank import words
torch.set_num_threads(1)
units = int(sys.argv[1])
down, rows = torch.randn(4, units), torch.randn(10_000, 4)
for end, ids, logits in words.decoded(down, rows, 10):
    assert len(ids) == units
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_units():
    def peak(units):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(units)], cwd=WEIGHTS.parent, capture_output=True, text=True, check=True
        )
        return int(done.stdout) / 1024

    # 4,000 more units are 160 MB more of projections.
    assert peak(5000) - peak(1000) < 40
