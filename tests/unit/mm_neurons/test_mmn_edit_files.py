"""Edits as files: what is written is read, another model refuses it, weights come back, edits stack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit.files import Edit
from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.samples import picture
from vlmscope.store import files


@pytest.fixture(scope="module")
def loaded(shipped):
    return shipped("mplug-owl2")


@pytest.fixture(scope="module")
def ready(loaded, scenes):
    samples, root = scenes
    return passes.prepare(loaded, [loaded.family.chat("<image>\ndescribe the image.")], [picture(samples[0], root)], 1)


def edit(loaded, seed, kind="rows", k=6):
    drawn, (layers, units) = np.random.default_rng(seed), columns.shape(loaded)
    width = columns.weight(loaded, 0).shape[0]
    delta = drawn.standard_normal((k, width) if kind == "rows" else k).astype(np.float32)
    about = {"source": "red", "target": "blue", "method": "test", "model": loaded.about["fingerprint"]}
    return Edit(kind, drawn.integers(0, layers, k), drawn.integers(0, units, k), delta, about)


def logits(loaded, ready):
    with torch.inference_mode():
        return passes.logits(loaded, ready, [[5, 6, 7]])


@pytest.mark.parametrize("kind", ["rows", "shift"])
def test_what_is_written_is_read_and_is_the_same_file_every_time(kind, loaded, tmp_path):
    written = edit(loaded, 1, kind)
    for name in ("one", "other"):
        edit_files.write(written, tmp_path / name)
    found = edit_files.read(tmp_path / "one")
    assert (found.kind, found.about) == (kind, written.about)
    assert all(np.array_equal(getattr(found, key), getattr(written, key)) for key in ("layer", "unit", "delta"))
    assert found.layer.dtype == np.int64 and found.delta.dtype == np.float32
    assert files.digest(tmp_path / "one") == files.digest(tmp_path / "other")
    assert written.weights == (written.delta.size if kind == "rows" else 0)


def test_hook_and_weights_give_the_same_and_leave_no_trace(loaded, ready):
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    untouched = logits(loaded, ready)
    for edits in ([edit(loaded, 1)], [edit(loaded, 1), edit(loaded, 2, "shift"), edit(loaded, 3)]):
        with edit_files.applied(loaded, edits):
            by_hook = logits(loaded, ready)
        with edit_files.merged(loaded, edits):
            torch.testing.assert_close(logits(loaded, ready), by_hook, atol=1e-4, rtol=1e-5)
        assert (by_hook - untouched).abs().max() > 0.1
        assert torch.equal(logits(loaded, ready), untouched)
    assert all(torch.equal(before[key], value) for key, value in loaded.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules())


def test_an_edit_and_its_opposite_cancel(loaded, ready):
    one = edit(loaded, 4)
    with edit_files.applied(loaded, [one, replace(one, delta=-one.delta)]):
        torch.testing.assert_close(logits(loaded, ready), logits(loaded, ready))
        stacked = logits(loaded, ready)
    torch.testing.assert_close(stacked, logits(loaded, ready), atol=1e-4, rtol=1e-5)


def test_a_shift_is_the_shift_of_what_enters_the_projection(loaded, ready):
    one = edit(loaded, 5, "shift")
    by_hand = []

    def shifting(layer):
        def before(module, args):
            z = args[0].clone()
            for at, unit, by in zip(one.layer, one.unit, one.delta, strict=True):
                if at == layer:
                    z[..., unit] += float(by)
            return (z,)

        return before

    for layer in range(columns.shape(loaded)[0]):
        by_hand.append(columns.module(loaded, layer).register_forward_pre_hook(shifting(layer)))
    wanted = logits(loaded, ready)
    for handle in by_hand:
        handle.remove()
    with edit_files.applied(loaded, [one]):
        torch.testing.assert_close(logits(loaded, ready), wanted)


def test_another_model_refuses_an_edit(loaded, shipped):
    other = shipped("llava-llama2")
    with pytest.raises(VlmscopeError, match="made for another"), edit_files.applied(other, [edit(loaded, 1)]):
        pytest.fail("applied")
    stranger = replace(edit(loaded, 1), about={})
    with pytest.raises(VlmscopeError, match="another model"), edit_files.merged(loaded, [stranger]):
        pytest.fail("merged")


@pytest.mark.parametrize("wrong", [{"layer": np.array([99] * 6)}, {"unit": np.array([9999] * 6)}])
def test_neurons_that_are_not_there_are_refused(wrong, loaded):
    with (
        pytest.raises(VlmscopeError, match="does not fit"),
        edit_files.applied(loaded, [replace(edit(loaded, 1), **wrong)]),
    ):
        pytest.fail("applied")


def test_files_of_another_kind_are_refused(loaded, tmp_path):
    (tmp_path / "text").write_text("no tensors")
    save_file({"delta": torch.zeros(2, 3)}, tmp_path / "bare")
    edit_files.write(edit(loaded, 1), tmp_path / "cut")
    whole = (tmp_path / "cut").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    odd = edit(loaded, 1)
    edit_files.write(replace(odd, delta=odd.delta[:3]), tmp_path / "odd")
    for name in ("text", "bare", "cut", "odd"):
        with pytest.raises(VlmscopeError, match="no edit of neurons"):
            edit_files.read(tmp_path / name)
    with pytest.raises(VlmscopeError, match="not there"):
        edit_files.read(tmp_path / "missing")
