"""Folders of autoencoders: the released layout, that of its ancestors, that of SAELens."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder import checkpoint, hooks, sae

RELEASED = Path(__file__).parents[2] / "golden" / "multimodal_sae" / "ckpt" / "model.layers.24"
MORE = {
    "topk": {},
    "groupmax": {"variant": "groupmax"},
    "batch_topk": {"variant": "batch_topk"},
    "jumprelu": {"variant": "jumprelu", "bandwidth": 0.1},
    "matryoshka": {"variant": "matryoshka", "prefixes": (8, 48)},
}


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(RELEASED, tmp_path / "model.layers.24"))


def change(folder, **keys):
    told = json.loads((folder / "cfg.json").read_text()) | keys
    (folder / "cfg.json").write_text(json.dumps({key: one for key, one in told.items() if one is not None}))


def test_a_released_folder_comes_back_as_it_is(tmp_path):
    coder = checkpoint.read(RELEASED)
    assert (coder.config.d, coder.config.latents, coder.config.k) == (24, 96, 5)
    checkpoint.write(coder, tmp_path)
    before, after = (load_file(one / "sae.safetensors") for one in (RELEASED, tmp_path))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((tmp_path / "cfg.json").read_text()) == json.loads((RELEASED / "cfg.json").read_text())


def test_unknown_keys_and_no_number_of_latents_do_no_harm(folder):
    change(folder, num_latents=0, expansion_factor=4, signed=False, hue="blue", multi_topk=None, d_in=None)
    assert checkpoint.read(folder).config == checkpoint.read(RELEASED).config


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_other_precisions_are_read(folder, kind):
    weights = {name: one.to(kind) for name, one in load_file(folder / "sae.safetensors").items()}
    save_file(weights, folder / "sae.safetensors")
    found = checkpoint.read(folder).state_dict()
    assert all(torch.equal(found[name], weights[name].float()) for name in weights)


def test_a_skip_connection_is_added(folder):
    weights = load_file(folder / "sae.safetensors") | {"W_skip": torch.eye(24)}
    save_file(weights, folder / "sae.safetensors")
    x = torch.randn(4, 24)
    torch.testing.assert_close(checkpoint.read(folder)(x).out, checkpoint.read(RELEASED)(x).out + x)


@pytest.mark.parametrize("name", MORE)
def test_every_variant_comes_back(tmp_path, name):
    x = torch.randn(30, 12)
    coder = sae.SparseCoder(sae.Config(12, 48, 6, **MORE[name]))
    coder(x)
    checkpoint.write(coder, tmp_path)
    again = checkpoint.read(tmp_path)
    assert again.config == coder.config
    assert torch.equal(again(x).out, coder.eval()(x).out)


@pytest.mark.parametrize("name", ["topk", "batch_topk", "jumprelu", "matryoshka"])
def test_the_layout_of_saelens_computes_the_same(tmp_path, name):
    x = torch.randn(30, 12)
    coder = sae.SparseCoder(sae.Config(12, 48, 6, **MORE[name]))
    coder(x)
    checkpoint.write_lens(coder, tmp_path, {"hook_name": "model.layers.1"})
    torch.testing.assert_close(checkpoint.read(tmp_path)(x).out, coder.eval()(x).out)
    assert load_file(tmp_path / "sae_weights.safetensors")["W_enc"].shape == (12, 48)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.24", "resid_post[24]"),
        ("layers.3", "resid_post[3]"),
        ("layer_7", "resid_post[7]"),
        ("layers.3.mlp", "mlp_out[3]"),
        ("model.language_model.layers.5", "resid_post[5]"),
    ],
)
def test_names_of_places_are_ours(name, place):
    assert hooks.site_of(name) == place
    assert hooks.site_of(hooks.hookpoint(place)) == place


def test_folders_are_found_by_place(folder):
    shutil.copytree(folder, folder.parent / "layers.3.mlp")
    assert checkpoint.find(folder.parent) == {
        "resid_post[24]": folder,
        "mlp_out[3]": folder.parent / "layers.3.mlp",
    }


@pytest.mark.parametrize("keys", [{"num_latents": 95}, {"transcode": True}, {"d_in": 25}, {"signed": True}])
def test_folders_that_do_not_fit_are_refused(folder, keys):
    change(folder, **keys)
    with pytest.raises(VlmscopeError, match="no autoencoder"):
        checkpoint.read(folder)


def test_damaged_and_missing_weights_are_told(folder):
    weights = (folder / "sae.safetensors").read_bytes()
    (folder / "sae.safetensors").write_bytes(weights[:-5])
    with pytest.raises(VlmscopeError, match="damaged"):
        checkpoint.read(folder)
    (folder / "sae.safetensors").unlink()
    with pytest.raises(VlmscopeError, match="not there"):
        checkpoint.read(folder)
    with pytest.raises(VlmscopeError, match="no place"):
        hooks.site_of("wte")
