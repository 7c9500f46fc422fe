"""Noise in a hook is noise in the weights, in every embedded model; weights come back bit by bit."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlmscope import raw
from vlmscope.config import default
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.models.base import Family, Site
from vlmscope.models.load import Loaded, describe, load
from vlmscope.samples import picture
from vlmscope.store import files

WEIGHTS = Path(__file__).parents[3] / "weights"
MODELS = default().models
EMBEDDED = [name for name, one in MODELS.items() if one.source == "folder" and name != "clip"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    root = tmp_path_factory.mktemp("sbu")
    raw.draw_benchmark("sbu", root, {"train": "train"}, {"train": 3})
    return [picture(one, root) for one in base.load("sbu").read(root, "train", name="sbu")]


def shipped(name, folder):
    settings = {"family": MODELS[name].family, "checkpoint": "", "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS / name, settings), folder / "model.json")
    return load(folder / "model.json")


def noise(loaded, seed, k):
    layers, units = columns.shape(loaded)
    drawn, width = np.random.default_rng(seed), columns.weight(loaded, 0).shape[0]
    chosen = drawn.permutation(layers * units)[:k]
    rows = drawn.standard_normal((k, width)).astype(np.float32)
    return columns.Added(chosen // units, chosen % units, 0.3 * rows)


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_hook_and_the_weights_give_the_same_logits(name, asked, tmp_path):
    loaded = shipped(name, tmp_path)
    # In double precision rounding is far below the bound, so that nothing hides in it.
    loaded.model.double()
    ready = passes.prepare(loaded, [loaded.family.chat("<image>\ndescribe the image.")] * 3, asked, 3)
    changes = [noise(loaded, seed, k) for seed, k in enumerate((3, 10, 50))]
    tokens = [ready[0].ids[-3:].tolist()] * 3
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    with torch.inference_mode():
        untouched = passes.logits(loaded, ready, tokens)
        with columns.added(loaded, changes):
            together = passes.logits(loaded, ready, tokens)
        for row, change in enumerate(changes):
            with columns.added(loaded, [change]):
                by_hook = passes.logits(loaded, ready[row : row + 1], tokens[:1])[0]
            with columns.merged(loaded, [change]):
                in_weights = passes.logits(loaded, ready[row : row + 1], tokens[:1])[0]
            for found in (by_hook, together[row]):
                torch.testing.assert_close(found, in_weights, atol=1e-6, rtol=0)
            assert (in_weights - untouched[row]).abs().max() > 1e-2
        assert torch.equal(passes.logits(loaded, ready, tokens), untouched)
    assert all(torch.equal(before[key], value) for key, value in loaded.model.state_dict().items())


# ---- one projection ----------------------------------------------------------------------------------------------


class One(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.down = torch.nn.Linear(*weight.shape[::-1], bias=False)
        self.down.weight.data = weight.clone()

    def forward(self, z):
        return self.down(z)


def one(weight=None):
    site = Site("down", "input", lambda c: 1, lambda c: 4, "text", "down")
    family = Family("one", "", None, {columns.SITE: site}, "", None, None, "", "")
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) if weight is None else weight
    model = One(start)
    model.config = SimpleNamespace()
    return Loaded(model, None, family, {})


def of(units, rows):
    units = np.array(units, dtype=np.int64)
    return columns.Added(np.zeros_like(units), units, np.asarray(rows, dtype=np.float32))


Z = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
ROWS = np.random.default_rng(2).standard_normal((3, 3)).astype(np.float32)


def test_weights_change_as_in_the_released_code():
    loaded = one()
    wanted = loaded.model.down.weight.data.T.clone()
    for unit, noise in zip([2, 0, 3], ROWS, strict=True):
        wanted[unit] += 0.5 * torch.from_numpy(noise)
    with columns.merged(loaded, [of([2, 0, 3], np.float32(0.5) * ROWS)]):
        assert torch.equal(loaded.model.down.weight.data.T, wanted)


def test_a_neuron_named_twice_gets_both_rows():
    loaded, twice = one(), of([1, 1, 2], ROWS)
    with columns.merged(loaded, [twice]):
        in_weights = loaded.model(Z)
    with columns.added(loaded, [twice]):
        torch.testing.assert_close(loaded.model(Z), in_weights)
    with columns.added(loaded, [twice, of([], np.zeros((0, 3)))]):
        torch.testing.assert_close(loaded.model(Z)[0], in_weights[0])
        torch.testing.assert_close(loaded.model(Z)[1], one().model(Z)[1])


def test_changes_merged_upon_each_other_are_undone_bit_by_bit_also_after_an_error():
    loaded = one()
    before = loaded.model.down.weight.data.clone()
    with pytest.raises(ZeroDivisionError), columns.merged(loaded, [of([1, 2], ROWS[:2]), of([2, 1], 1e6 * ROWS[1:])]):
        raise ZeroDivisionError
    assert torch.equal(loaded.model.down.weight.data, before)


def test_the_size_of_a_neuron_is_the_root_mean_square_of_its_column():
    found = columns.rms(one(torch.tensor([[3.0, 0, 1, 1], [4.0, 0, 1, -1], [0.0, 0, 1, 1]])))
    np.testing.assert_allclose(found, [[np.sqrt(25 / 3), 0, 1, 1]], rtol=1e-6)


def test_packed_weights_are_refused_where_columns_are_read_and_work_in_a_hook():
    loaded = one()
    with columns.added(loaded, [of([1], ROWS[:1])]):
        wanted = loaded.model(Z)
    packed, whole = loaded.model.down.weight, loaded.model.down.forward
    loaded.model.down.forward = lambda z: torch.nn.functional.linear(z, packed)
    loaded.model.down.weight = torch.nn.Parameter(packed.to(torch.int8), requires_grad=False)
    with columns.added(loaded, [of([1], ROWS[:1])]):
        assert torch.equal(loaded.model(Z), wanted)
    with pytest.raises(VlmscopeError, match="packed"):
        columns.rms(loaded)
    loaded.model.down.forward = whole
