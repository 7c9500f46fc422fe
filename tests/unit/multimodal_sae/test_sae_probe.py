"""Latents that stand out in a prompt."""

import numpy as np
import pytest
import torch

from vlmscope.multimodal_sae.attribution import probe
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.settings.multimodal_sae.probe import Probe


def test_means_are_those_before_the_selection_and_shares_those_behind_it(monkeypatch):
    monkeypatch.setattr("vlmscope.multimodal_sae.coder.sparse.DENSE", 64)
    coder = SparseCoder(Config(8, 32, 3), seed=1).requires_grad_(False).eval()
    x = torch.randn(11, 8, generator=torch.Generator().manual_seed(0))
    mean, share = probe.means(coder, x)
    pre = torch.relu((x - coder.b_dec) @ coder.encoder.weight.T + coder.encoder.bias)
    np.testing.assert_allclose(mean, pre.mean(0).numpy(), rtol=1e-5)
    kept = torch.zeros_like(pre).scatter(1, pre.topk(3).indices, 1)
    np.testing.assert_allclose(share, kept.mean(0).numpy(), rtol=1e-5)


def test_several_intervals_of_ranks_without_one_twice():
    mean = np.array([0.1, 0.9, 0.5, 0.7, 0.0])
    table = probe.ranked("a", mean, mean / 2, [(0, 2), (1, 3), (4, 9)])
    assert table["feature"].to_list() == [1, 3, 2, 4] and table["rank"].to_list() == [0, 1, 2, 4]
    assert table["share"].to_list() == pytest.approx([0.45, 0.35, 0.25, 0])


@pytest.mark.parametrize("ranks", [[(3, 3)], [(-1, 4)], []])
def test_intervals_that_are_none_are_refused(ranks):
    with pytest.raises(ValueError, match="ranks"):
        Probe(ranks=ranks)
