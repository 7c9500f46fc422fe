"""Quality figures against the formulas of multimodal_sae.md 6.4, applied at once in numpy."""

import numpy as np
import pytest
import torch

from vlmscope.multimodal_sae.coder import sae
from vlmscope.multimodal_sae.quality import measures
from vlmscope.multimodal_sae.quality.measures import Firing, Losses, Sums, Taken


@pytest.fixture(scope="module")
def coder():
    return sae.SparseCoder(sae.Config(12, 48, 6), seed=2).eval()


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, 12, generator=generator) + place for place, count in enumerate((30, 7, 1, 50))]


@torch.no_grad()
def summed(coder, pictures):
    sums, firing, take = Sums(12), Firing(48), measures.of_sae(coder)
    for x in pictures:
        found = take(x)
        sums.add(x, found)
        firing.add(found)
    return sums, firing


def test_every_figure_follows_its_formula(coder, pictures):
    found = summed(coder, pictures)[0].metrics()
    x = torch.cat(pictures).double().numpy()
    with torch.no_grad():
        each = [coder(one) for one in pictures]
    y = torch.cat([one.out for one in each]).double().numpy()
    acts = torch.cat([one.acts for one in each]).double().numpy()
    error, variance = ((x - y) ** 2).sum(), ((x - x.mean(0)) ** 2).sum()
    norms = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    around = np.concatenate([((one - one.mean(0)) ** 2).sum(1) for one in map(np.asarray, pictures)])
    parts = [float(one.fvu) for one, picture in zip(each, pictures, strict=True) if len(picture) > 1]
    wanted = {
        "ev": 1 - error / variance,
        "fvu": error / variance,
        "fvu_official": np.mean(parts),
        "ev_legacy": 1 - np.mean(((x - y) ** 2).sum(1)[around > 0] / around[around > 0]),
        "ev_saebench": 1 - error / len(x) / ((x**2).mean(0).sum() - ((x**2).mean(0) ** 2).sum()),
        "mse": error / len(x),
        "cosine": ((x * y).sum(1) / norms[0] / norms[1]).mean(),
        "l2_ratio": (norms[1] / norms[0]).mean(),
        "reconstruction_bias": (y**2).sum() / (x * y).sum(),
        "l0": (acts != 0).sum(1).mean(),
        "l1": np.abs(acts).sum(1).mean(),
    }
    # A single token has no variance of its own: its ratio is of no use, as in the legacy figure.
    del wanted["ev_legacy"]
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    assert found["l0"] <= 6 and set(wanted) | {"ev_legacy"} == set(found)


def test_the_legacy_figure_is_a_mean_over_tokens(coder, pictures):
    more = [one for one in pictures if len(one) > 1]
    found = summed(coder, more)[0].metrics()["ev_legacy"]
    with torch.no_grad():
        ratios = [(coder(x).out - x).pow(2).sum(1) / (x - x.mean(0)).pow(2).sum(1) for x in more]
    assert found == pytest.approx(1 - float(torch.cat(ratios).mean()), rel=1e-5)


def test_cutting_pictures_apart_changes_nothing_but_the_published_figure(coder, pictures):
    whole, cut = (summed(coder, [torch.cat(pictures)]), summed(coder, torch.cat(pictures).split(11)))
    kept = set(whole[0].metrics()) - {"fvu_official", "ev_legacy"}
    assert {name: whole[0].metrics()[name] for name in kept} == pytest.approx(
        {name: cut[0].metrics()[name] for name in kept}
    )
    np.testing.assert_array_equal(whole[1].fired, cut[1].fired)
    np.testing.assert_array_equal(whole[1].first, cut[1].first)


def test_firing_counts_tokens_and_the_first_of_them():
    firing = Firing(5)
    firing.add(Taken(torch.zeros(3, 1), torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 0.0]]), torch.tensor([[0, 1]] * 3)))
    firing.add(Taken(torch.zeros(1, 1), torch.tensor([[1.0, 1.0]]), torch.tensor([[4, 1]])))
    assert firing.fired.tolist() == [2, 3, 0, 0, 1] and firing.first.tolist() == [2, 1, -1, -1, 4]
    found = firing.metrics()
    assert found["alive"] == 0.6 and found["dead"] == pytest.approx(0.4) and found["first_fire_median"] == 2
    assert sum(count for _, _, count in firing.histogram(8)) == 3


def test_nearest_directions_leave_themselves_out(monkeypatch, coder):
    wanted = coder.W_dec.detach() @ coder.W_dec.detach().T
    wanted.fill_diagonal_(-1)
    monkeypatch.setattr(measures, "ROWS", 7)
    found = measures.geometry(coder)
    assert found["decoder_max_cosine"] == pytest.approx(float(wanted.max(1).values.mean()), rel=1e-5)
    assert found["encoder_decoder_cosine"] == pytest.approx(1, abs=1e-5)


def test_all_components_reconstruct_and_few_keep_most_variance():
    x = torch.randn(500, 12, generator=torch.Generator().manual_seed(1)) @ torch.diag(torch.arange(12.0, 0, -1))
    mean, axes, count = measures.components(iter(x.split(64)), 400)
    assert count == 400
    torch.testing.assert_close(mean, x[:400].mean(0), atol=1e-4, rtol=1e-4)
    every = measures.of_components(mean, axes, 12, largest=False)(x)
    torch.testing.assert_close(every.out, x, atol=1e-3, rtol=1e-3)
    errors = [
        float((measures.of_components(mean, axes, 3, largest)(x).out - x).pow(2).sum()) for largest in (False, True)
    ]
    assert errors[1] < errors[0] < float((x - mean).pow(2).sum())


def test_scores_are_one_for_no_loss_and_zero_for_that_of_zeros():
    generator, losses = torch.Generator().manual_seed(0), Losses()
    clean, zero, other = (torch.randn(20, 9, generator=generator).log_softmax(-1) for _ in range(3))
    target = clean.argmax(1)
    for name, one in (("clean", clean), ("zero", zero), ("other", other)):
        for part in torch.arange(20).split(6):
            losses.add("answer", name, clean[part], one[part], target[part])
    assert losses.metrics("answer", "clean")["ce_score"] == 1 and losses.metrics("answer", "zero")["kl_score"] == 0
    found = losses.metrics("answer", "other")
    ce = {
        name: -float(one.gather(1, target[:, None]).mean()) for name, one in (("c", clean), ("z", zero), ("o", other))
    }
    assert found["ce_score"] == pytest.approx((ce["z"] - ce["o"]) / (ce["z"] - ce["c"]), rel=1e-5)
    kl = torch.nn.functional.kl_div(other, clean, log_target=True, reduction="batchmean")
    assert found["kl"] == pytest.approx(float(kl), rel=1e-5)
    assert losses.tokens == {"answer": 20}
