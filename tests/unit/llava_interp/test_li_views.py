"""What pages tell beside the lens: held against plain passes of the model and products written out."""

import json

import numpy as np
import pytest
import torch

from vlmscope import lens, sweep
from vlmscope.config import default, plain
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import prompts
from vlmscope.llava_interp.lens import run as lens_run
from vlmscope.llava_interp.lens import tuned
from vlmscope.llava_interp.lens.tuned import Maps
from vlmscope.llava_interp.look import views, views_file, views_run
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.store import tables, tensors


@pytest.fixture(scope="module")
def settings():
    told = plain(default())["llava_interp"]
    told["lens"] |= {"images": 2, "shown": 2}
    return told


@pytest.fixture(scope="module")
def asked(shipped, drawn, chosen, settings):
    text = prompts.text(shipped, settings["asking"], settings["lens"]["question"])
    return prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]


def test_streams_are_those_of_a_plain_pass(shipped, asked):
    with torch.inference_mode():
        flags = sweep.flags(shipped, asked.ids[None])
        out = sweep.decoder(shipped)(
            inputs_embeds=asked.embeds[None], use_cache=False, output_hidden_states=True, **flags
        )
    found = tuned.states(shipped, asked, whole=True)
    # The last of the model's is behind the final norm.
    for mine, own in zip(found[:-1], out.hidden_states[:-1], strict=True):
        torch.testing.assert_close(mine, own[0], atol=1e-5, rtol=1e-5)
    assert torch.equal(found[:, asked.first : asked.end], tuned.states(shipped, asked))
    told = views.stream(shipped, found)
    shares = out.logits[0].float().softmax(-1)
    np.testing.assert_allclose(told.entropy[-1], -(shares * shares.log()).sum(-1), atol=1e-3)
    before, after = found[0].numpy(), found[1].numpy()
    cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(after, axis=-1)
    np.testing.assert_allclose(told.previous[0], cosine, atol=1e-5)
    np.testing.assert_allclose(told.lengths, np.linalg.norm(found.numpy(), axis=-1), rtol=1e-5)


def test_an_embedding_is_nearest_to_itself(shipped, monkeypatch):
    table = shipped.model.get_input_embeddings().weight.detach()
    wanted = torch.tensor([[30, 41, 52], [63, 74, 85]])
    monkeypatch.setattr(lens, "MOST_VALUES", 2 * len(table))
    tokens, values = views.nearest(shipped, 3 * table[wanted], 2)
    np.testing.assert_array_equal(tokens[..., 0], wanted)
    np.testing.assert_allclose(values[..., 0], 1, atol=1e-5)
    assert (values[..., 1] < 1).all() and tokens.shape == (2, 3, 2)


def test_maps_that_change_nothing_read_as_the_own_lens(shipped, asked):
    found = tuned.states(shipped, asked)
    depth, _, width = len(found) - 1, *found.shape[1:]
    maps = Maps(torch.eye(width).repeat(depth, 1, 1), torch.zeros(depth, width))
    tokens, values = views.affine(shipped, found, 3, maps)
    own = lens.read(shipped, found[1], 3)
    np.testing.assert_allclose(values[1], own.probability, atol=1e-5)
    assert (tokens[1] == own.tokens.numpy()).mean() > 0.99


def test_looks_are_rows_of_the_model_s_attention(shipped, asked):
    last = len(asked.ids) - 1
    found = views.looks(shipped, asked, [last - 2, last], 2)
    shipped.model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            flags = sweep.flags(shipped, asked.ids[None])
            out = sweep.decoder(shipped)(
                inputs_embeds=asked.embeds[None], use_cache=False, output_attentions=True, **flags
            )
    finally:
        shipped.model.set_attn_implementation("sdpa")
    for layer, weights in enumerate(out.attentions):
        own = weights[0, :, :, asked.first : asked.end].numpy()
        np.testing.assert_allclose(found.mean[:, layer], own[:, [last - 2, last]].mean(0), atol=1e-5)
        order = np.argsort(-own[:, last].sum(-1), kind="stable")[:2]
        np.testing.assert_array_equal(found.heads[:, layer], order)
        np.testing.assert_allclose(found.single[:, layer], own[order, last], atol=1e-5)


def test_every_shown_picture_has_its_views(shipped, drawn, settings, tmp_path):
    folder, samples = drawn
    tables.write(table(samples), tmp_path / "samples.parquet", SCHEMA)
    files = {"raw": str(folder / "raw.json"), "samples": str(tmp_path / "samples.parquet"), "batch": 8}
    shown, target = str(tmp_path / "lens.h5"), str(tmp_path / "views.h5")
    lens_run.from_files(shipped, settings=settings, target=shown, **files)
    told = {"asking": settings["asking"], "question": settings["lens"]["question"]}
    told |= {"views": settings["views"] | {"lenses": ["cosine"], "queries": 3}}
    views_run.from_files(shipped, settings=told, shown=shown, maps=[], target=target, **files)
    with views_file.opened(target) as file:
        assert json.loads(file.attrs["recipe"])["model"] == shipped.about["fingerprint"] and len(file) == 2
        for group in file.values():
            assert group["attention"].shape == (3, 3, 64) and group["entropy"].shape[0] == 4
            assert (group["attention"][()].sum(-1) <= 1 + 1e-5).all()
            assert group["lenses/cosine/tokens"].shape == (4, 64, 3) and len(group["texts"]) == len(group["vocabulary"])
    with pytest.raises(VlmscopeError, match="file of views"):
        views_file.opened(shown)


def test_an_affine_lens_of_another_model_is_refused(shipped, tmp_path):
    maps, path = Maps(torch.zeros(3, 4, 4), torch.zeros(3, 4)), tmp_path / "maps.safetensors"
    tensors.write(tuned.tensors(maps), path, {"fingerprint": shipped.about["fingerprint"]})
    assert torch.equal(tuned.load(str(path), shipped).weight, maps.weight)
    tensors.write(tuned.tensors(maps), path, {"fingerprint": "other"})
    with pytest.raises(VlmscopeError, match="another model"):
        tuned.load(str(path), shipped)
