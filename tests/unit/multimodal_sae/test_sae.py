"""Autoencoders: invariants, variants, gradients against plain autograd."""

import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder import sae, sparse

VARIANTS = {
    "topk": {},
    "groupmax": {"variant": "groupmax"},
    "batch_topk": {"variant": "batch_topk"},
    "jumprelu": {"variant": "jumprelu", "bandwidth": 0.2},
    "matryoshka": {"variant": "matryoshka", "prefixes": (8, 16, 48)},
}


def states(count=40, d=12, seed=0):
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed))


def coder_of(name, d=12, latents=48, k=6, **more):
    return sae.SparseCoder(sae.Config(d, latents, k, **VARIANTS[name], **more), seed=1)


def test_directions_and_their_opposites_reconstruct_every_state():
    d, x = 12, states()
    turned = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(3)))[0]
    coder = sae.SparseCoder(sae.Config(d, 2 * d, d))
    with torch.no_grad():
        coder.W_dec.copy_(torch.cat([turned, -turned]))
        coder.encoder.weight.copy_(coder.W_dec)
    found = coder(x)
    torch.testing.assert_close(found.out.detach(), x, atol=1e-5, rtol=0)
    assert float(found.fvu.detach()) < 1e-9


def test_the_mean_leaves_the_whole_variance():
    coder, x = coder_of("topk"), states()
    with torch.no_grad():
        coder.encoder.weight.zero_()
        coder.b_dec.copy_(x.mean(0))
    assert float(coder(x).fvu.detach()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_learns_and_selects_few(name):
    coder, x = coder_of(name), states(200)
    optimiser = torch.optim.Adam(coder.parameters(), lr=0.01)
    seen = []
    for _ in range(200):
        optimiser.zero_grad()
        coder.normalize()
        found = coder(x)
        sae.loss(found, sparsity_weight=1.0).backward()
        coder.orthogonalize()
        optimiser.step()
        seen.append(float(found.fvu.detach()))
    assert seen[-1] < 0.6 * seen[0]
    active = float((coder.eval().encode(x).acts > 0).sum(1).float().mean())
    assert active <= 6 if name in ("topk", "groupmax", "matryoshka") else active == pytest.approx(6, rel=0.2)


@pytest.mark.parametrize("name", ["topk", "groupmax", "matryoshka"])
def test_gradients_equal_those_of_the_dense_form(name):
    coder, x = coder_of(name), states().requires_grad_()
    dead = torch.arange(48) % 3 == 0
    given = (x, *coder.parameters())
    found = coder(x, dead)
    ours = torch.autograd.grad(sae.loss(found, 0.5), given)
    pre = coder.pre(x)
    kept = torch.zeros_like(pre).scatter(1, found.indices, pre.gather(1, found.indices))
    out = kept @ coder.W_dec + coder.b_dec
    variance = (x - x.mean(0)).pow(2).sum()
    values, index = pre.masked_fill(~dead, -torch.inf).topk(6)
    rest = torch.zeros_like(pre).scatter(1, index, values) @ coder.W_dec
    total = (out - x).pow(2).sum() + 0.5 * (rest + (out - x).detach()).pow(2).sum()
    if name == "matryoshka":
        shorter = [
            ((kept * (torch.arange(48) < size)) @ coder.W_dec + coder.b_dec - x).pow(2).sum() for size in (8, 16)
        ]
        total = total + sum(shorter) / 2 / 8
    plain = torch.autograd.grad(total / variance, given)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=1e-6)


def test_parts_of_a_batch_give_what_the_batch_gives(monkeypatch):
    coder, x = coder_of("topk"), states()
    whole = coder.encode(x)
    monkeypatch.setattr(sparse, "DENSE", 7 * 48)
    parts = coder.encode(x)
    order, other = whole.indices.argsort(1), parts.indices.argsort(1)
    assert torch.equal(whole.indices.gather(1, order), parts.indices.gather(1, other))
    torch.testing.assert_close(
        whole.acts.detach().gather(1, order), parts.acts.detach().gather(1, other), rtol=1e-5, atol=1e-6
    )


def test_products_of_chosen_rows_are_the_same_either_way(monkeypatch):
    drawn = torch.Generator().manual_seed(0)
    rows, table = (torch.randn(count, 6, generator=drawn) for count in (40, 48))
    index = torch.stack([torch.randperm(48, generator=drawn)[:5] for _ in range(40)])
    wanted = (rows @ table.T).gather(1, index)
    monkeypatch.setitem(sparse.GATHERED, "cpu", 100)
    for least in (0, 1 << 21):
        monkeypatch.setattr(sparse, "SAMPLED", least)
        torch.testing.assert_close(sparse.dots(index, rows, table), wanted, rtol=1e-5, atol=1e-6)


def test_permuted_latents_give_the_same_reconstruction():
    coder, x = coder_of("topk"), states()
    other = coder_of("topk")
    order = torch.randperm(48, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        other.encoder.weight.copy_(coder.encoder.weight[order])
        other.W_dec.copy_(coder.W_dec[order])
    found, moved = coder(x), other(x)
    torch.testing.assert_close(found.out, moved.out, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.indices.sort(1).values, order[moved.indices].sort(1).values)


def test_a_batch_topk_coder_keeps_its_threshold_for_later():
    coder, x = coder_of("batch_topk"), states(100)
    coder(x)
    assert float((coder.encode(x).acts > 0).sum()) == 600
    alone = torch.cat([coder.eval().encode(x[row : row + 1]).acts.gt(0).sum()[None] for row in range(100)])
    assert int(alone.sum()) == pytest.approx(600, abs=2)


def test_points_that_meet_the_median_do_no_harm():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    torch.testing.assert_close(sae.geometric_median(points), torch.zeros(2))


@pytest.mark.parametrize(
    "wrong", [{"k": 49}, {"k": 7, "variant": "groupmax"}, {"variant": "matryoshka"}, {"prefixes": (0, 9)}]
)
def test_impossible_autoencoders_are_refused(wrong):
    with pytest.raises(VlmscopeError, match="no such autoencoder"):
        sae.Config(**{"d": 12, "latents": 48, "k": 6} | wrong)
