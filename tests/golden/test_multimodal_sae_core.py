"""Autoencoder forward, losses and gradients against the official code (golden README: sae_core.npz)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope.multimodal_sae.coder import sae

HERE = Path(__file__).parent / "multimodal_sae"
CASES = {"plain": {}, "auxk": {"dead": "dead_mask"}, "auxk_few": {"dead": "dead_few_mask"}, "multi": {}, "bf16": {}}


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "sae_core.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def coder_of(golden, multi_topk=False, bias="b_enc"):
    coder = sae.SparseCoder(sae.Config(24, 96, 5, multi_topk=multi_topk))
    with torch.no_grad():
        coder.encoder.weight.copy_(golden["W_enc"])
        coder.encoder.bias.copy_(golden[bias])
        coder.W_dec.copy_(golden["W_dec_raw"])
        coder.b_dec.copy_(golden["b_dec"])
    coder.normalize()
    return coder


def close(found, wanted, relative=1e-5):
    assert float((found - wanted).norm()) <= relative * float(wanted.norm()) + 1e-12


def test_rows_have_the_official_length(golden):
    close(coder_of(golden).W_dec.detach(), golden["W_dec"], 1e-7)
    close(coder_of(golden).pre(golden["x"]).detach(), golden["pre_acts"])


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_equal_the_official_ones(golden, case):
    coder = coder_of(golden, multi_topk=case == "multi")
    x = golden["x_bf16"].bfloat16() if case == "bf16" else golden["x"]
    dead = golden[CASES[case]["dead"]] if CASES[case] else None
    found = coder(x, dead, official=True)
    total = sae.loss(found, 1 / 32)
    total.backward()
    order = found.indices.argsort(1)
    assert torch.equal(found.indices.gather(1, order), golden[f"{case}_idx"])
    close(found.acts.detach().gather(1, order), golden[f"{case}_acts"])
    close(found.out.detach(), golden[f"{case}_sae_out"])
    for name, value in (("fvu", found.fvu), ("auxk", found.aux), ("mtk", found.multi), ("loss", total)):
        np.testing.assert_allclose(float(value.detach()), float(golden[f"{case}_{name}"]), rtol=1e-5)
    close(coder.encoder.weight.grad, golden[f"{case}_gW_enc"])
    close(coder.encoder.bias.grad, golden[f"{case}_gb_enc"])
    close(coder.b_dec.grad, golden[f"{case}_gb_dec"])
    close(coder.W_dec.grad, golden[f"{case}_gW_dec"])
    coder.orthogonalize()
    close(coder.W_dec.grad, golden[f"{case}_gW_dec_orth"])
    along = (coder.W_dec.grad * coder.W_dec.detach()).sum(1)
    assert float(along.abs().max()) < 1e-6 * max(1.0, float(coder.W_dec.grad.norm()))


def test_the_variance_is_that_of_full_precision_unless_the_official_one_is_asked_for(golden):
    x, coder = golden["x_bf16"].bfloat16(), coder_of(golden)
    ratio = float(coder(x, official=True).fvu.detach() / coder(x).fvu.detach())
    wanted = float(golden["bf16_total_variance_float64"]) / float(golden["bf16_total_variance_official"])
    assert ratio == pytest.approx(wanted, rel=1e-5)


def test_latents_of_value_zero_are_selected_but_fire_only_by_the_official_rule(golden):
    coder = coder_of(golden, bias="sparse_b_enc")
    found = coder(golden["x"])
    assert torch.equal((found.acts == 0).sum(1), golden["sparse_n_zero_selected"])
    fired = torch.zeros(96, dtype=torch.bool)
    fired[found.indices[found.acts > 0]] = True
    assert torch.equal(fired, golden["sparse_did_fire_positive_only"])
    np.testing.assert_allclose(float(found.fvu.detach()), float(golden["sparse_fvu"]), rtol=1e-5)


def test_the_geometric_median_equals_the_official_one(golden):
    close(sae.geometric_median(golden["geomed_in"]), golden["geomed_out"])
    outliers = torch.cat([golden["geomed_in"], torch.full((5, 24), 30.0)])
    close(sae.geometric_median(outliers), golden["geomed_outlier_out"], 1e-4)
