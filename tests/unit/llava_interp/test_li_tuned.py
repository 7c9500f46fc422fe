"""An affine lens: the fit against a textbook one, and what it adds to the plain lens."""

import numpy as np
import polars as pl
import pytest
import torch
from configured import changed
from safetensors import safe_open
from sklearn.linear_model import LinearRegression, Ridge

from vlmscope import lens, sweep
from vlmscope.config import default, plain
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import prompts
from vlmscope.llava_interp.lens import tuned, tuned_run, tuned_tables
from vlmscope.llava_interp.lens.tuned import Maps, Running
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.store import tables, tensors

TOLD = {"bootstrap": 50, "seed": 1}


def filled(states):
    running = Running.of(len(states) - 1, states.shape[-1])
    for part in states.split(37, dim=1):
        running.add(part)
    return running


@pytest.fixture(scope="module")
def states():
    values = np.random.default_rng(0)
    first = values.normal(2, 3, (200, 6))
    second = first @ values.normal(size=(6, 6)) + 1
    final = second @ values.normal(size=(6, 6)) - 4 + 0.3 * values.normal(size=(200, 6))
    return torch.from_numpy(np.stack([first, second, final])).float()


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_the_maps_are_those_of_a_ridge_regression(states, ridge):
    maps = filled(states).fit(ridge)
    for layer in (0, 1):
        own, final = states[layer].double().numpy(), states[-1].double().numpy()
        penalty = ridge * own.var(axis=0).mean() * len(own)
        expected = (Ridge(alpha=penalty) if ridge else LinearRegression()).fit(own, final)
        np.testing.assert_allclose(maps.weight[layer].numpy(), expected.coef_.T, atol=1e-4)
        np.testing.assert_allclose(maps.bias[layer].numpy(), expected.intercept_, atol=1e-3)
    mapped = maps.through(states)
    assert torch.equal(mapped[-1], states[-1]) and mapped.shape == states.shape
    direct = states[0] @ maps.weight[0] + maps.bias[0]
    torch.testing.assert_close(mapped[0], direct, atol=1e-4, rtol=1e-4)


def test_directions_that_no_state_takes_do_no_harm():
    values = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(0))
    values[0, :, 3] = values[0, :, 2]
    maps = filled(values).fit(0.0)
    assert maps.weight.isfinite().all()
    expected = LinearRegression().fit(values[0, :, :3].numpy(), values[-1].numpy()).predict(values[0, :, :3].numpy())
    np.testing.assert_allclose(maps.through(values)[0].numpy(), expected, atol=1e-3)


@pytest.fixture(scope="module")
def asked(shipped, drawn, chosen):
    told = plain(default())["llava_interp"]["asking"]
    text = prompts.text(shipped, told, "describe the image.")
    return prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]


def test_states_are_those_of_the_model_and_the_last_is_no_distance_from_itself(shipped, asked):
    found = tuned.states(shipped, asked)
    with torch.inference_mode():
        out = sweep.decoder(shipped)(inputs_embeds=asked.embeds[None], use_cache=False, output_hidden_states=True)
    for layer in range(3):
        torch.testing.assert_close(found[layer], out.hidden_states[layer][0, asked.first : asked.end])
    tokens, far = tuned.best(shipped, found, 3)
    logits = out.logits[0, asked.first : asked.end]
    assert (tokens[-1, :, 0] == logits.argmax(-1).numpy()).all() and tokens.shape == (4, 64, 3)
    np.testing.assert_allclose(far[-1], 0, atol=1e-6)
    with torch.inference_mode():
        early = lens.logits(shipped, found[1]).log_softmax(-1)
    expected = torch.nn.functional.kl_div(early, logits.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    np.testing.assert_allclose(far[1], expected.numpy(), atol=1e-4)


def hit(sample, name, rate, layer=0):
    same = {"sample": sample, "image_id": 1, "ann_id": 1, "class": "cat", "criterion": "strict", "topk": 1}
    return same | {"lens": name, "layer": layer, "rate": rate, "background": 0.1, "divergence": 1.0 - rate}


def test_the_table_follows_its_definitions():
    rows = [hit(*one) for one in (("a", "plain", 0.2), ("b", "plain", 0.4), ("a", "affine", 0.9), ("b", "affine", 0.5))]
    frame = pl.DataFrame(rows, schema=tuned_tables.HITS)
    found = tuned_tables.table(frame, TOLD)
    assert found["lens"].to_list() == ["plain", "affine"] and found["rate_mean"].to_list() == pytest.approx([0.3, 0.7])
    assert found["difference"].to_list() == [None, pytest.approx(0.4)]
    assert found["divergence_mean"].to_list() == pytest.approx([0.7, 0.3]) and found["n_images"].to_list() == [2, 2]
    assert tuned_tables.table(frame.clear(), TOLD).is_empty()


def test_early_layers_name_more_through_an_affine_map(shipped, drawn, tmp_path):
    folder, samples = drawn
    for name, part in (("fitted", samples[:12]), ("judged", samples[12:])):
        tables.write(table(part), tmp_path / f"{name}.parquet", SCHEMA)
    told = plain(default())["llava_interp"]
    files = {"raw": str(folder / "raw.json"), "fitted": str(tmp_path / "fitted.parquet"), "batch": 8}
    maps, about, hits = tuned_run.from_files(shipped, samples=str(tmp_path / "judged.parquet"), settings=told, **files)
    assert (about["pictures"], about["positions"]) == ("12", str(12 * 64)) and hits["sample"].n_unique() >= 6
    found = tuned_tables.table(hits, TOLD).filter(criterion="strict", topk=1, layer=0)
    assert found["rate_mean"][1] > 0.3 + found["rate_mean"][0]
    assert found["divergence_mean"][1] < 0.6 * found["divergence_mean"][0]
    tensors.write(tuned.tensors(maps), tmp_path / "m.safetensors", about)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        again = Maps(file.get_tensor("weight"), file.get_tensor("bias"))
        assert file.metadata()["fingerprint"] == shipped.about["fingerprint"]
    assert torch.equal(again.weight, maps.weight) and again.weight.shape == (3, 96, 96)


def test_the_split_that_was_fitted_is_not_judged():
    with pytest.raises(VlmscopeError, match="judged on the split it was fitted on"):
        changed(llava_interp__tuned__judged="train")


def test_a_split_without_pictures_is_refused(shipped, drawn, tmp_path):
    tables.write(table([]), tmp_path / "none.parquet", SCHEMA)
    told, none = plain(default())["llava_interp"], str(tmp_path / "none.parquet")
    with pytest.raises(VlmscopeError, match="no picture to fit"):
        tuned_run.from_files(shipped, raw=str(drawn[0] / "raw.json"), fitted=none, samples=none, settings=told, batch=4)
