"""Neurons that were made to detect a domain are found as that domain's (mmneuron.md 11, statistical checks)."""

from functools import partial

import numpy as np
import pytest
import torch

from vlmscope import raw
from vlmscope.capture import batches, plan, run, shard, taps
from vlmscope.datasets import base
from vlmscope.mmneuron.identify import select
from vlmscope.samples import picture

KINDS = ("lingoqa", "pmc_vqa", "rsvqa", "vqav2", "docvqa")
LAYER, PER_DOMAIN = 1, 8
TAKES = [{"site": "vision_gate", "where": "all", "keep": "counts"}]


@pytest.fixture(scope="module")
def streams(shipped, tmp_path_factory):
    """Per domain two halves of drawn samples, as functions that give their batches."""

    def half(samples, benchmark, root):
        prompt = shard.prompts(shipped, benchmark, "simple")
        return partial(batches.prefill, shipped, samples, prompt, partial(picture, root=root), 8)

    found = []
    for kind in KINDS:
        root, benchmark = tmp_path_factory.mktemp(kind), base.load(kind)
        # The split that every benchmark has.
        raw.draw_benchmark(kind, root, {"train": "train"}, {"train": 16})
        samples = list(benchmark.read(root, "train", name=kind))[:16]
        found.append([half(samples[:8], benchmark, root), half(samples[8:], benchmark, root)])
    return found


def entering(loaded, stream):
    """What enters the first matrix of the tower's MLP in one layer, float64 [position, width]."""
    seen = []
    matrix = taps.module_at(loaded.model, "model.vision_tower.encoder.layers.{l}.mlp.fc1", LAYER)
    handle = matrix.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(0, 1).double()))
    with torch.inference_mode():
        for batch in stream():
            run.forward(loaded, batch)
    handle.remove()
    return matrix, torch.cat(seen)


def detectors(values):
    """Per domain a direction and a bias: linear discriminant of it against the rest, which fires on 2 % of the rest."""
    mean = [one.mean(0) for one in values]
    spread = sum(torch.cov(one.T) for one in values) / len(values)
    spread += 1e-3 * spread.trace() / len(spread) * torch.eye(len(spread))
    for place, own in enumerate(mean):
        others = torch.cat([one for number, one in enumerate(values) if number != place])
        direction = torch.linalg.solve(spread, own - others.mean(0))
        yield direction, -torch.quantile(others @ direction, 0.98)


@pytest.fixture
def planted(shipped, streams):
    """Units of the tower turned into detectors trained on the first halves: domain -> units; undone afterwards."""
    values = [entering(shipped, first)[1] for first, _ in streams]
    matrix, _ = entering(shipped, streams[0][0])
    before = matrix.weight.data.clone(), matrix.bias.data.clone()
    units = np.random.default_rng(0).choice(len(matrix.bias), (len(KINDS), PER_DOMAIN), replace=False)
    noise = torch.Generator().manual_seed(0)
    for own, (direction, bias) in zip(units, detectors(values), strict=True):
        for unit in own.tolist():
            # No two detectors are alike.
            factor = 0.5 + torch.rand((), generator=noise)
            matrix.weight.data[unit] = (factor * direction).float()
            matrix.bias.data[unit] = (factor * bias).float()
    yield units
    matrix.weight.data, matrix.bias.data = before


def found_among(loaded, streams, **settings):
    """Members [domain, layer, unit] by the second halves, which the detectors have not seen."""
    takes = plan.resolve(TAKES, loaded.family, loaded.config)
    kept = [run.capture(loaded, takes, second())[0].arrays for _, second in streams]
    fired = np.stack([one["fired"] for one in kept])
    return select(fired, np.array([int(one["seen"]) for one in kept]), **settings).members


@pytest.mark.parametrize("assign", ["bar", "highest"])
def test_planted_detectors_are_found_as_their_domain_s_neurons(assign, shipped, streams, planted):
    members = found_among(shipped, streams, top_rate=0.2, filter_rate=0.5, bar_rate=0.5, assign=assign)
    hits = [members[domain, LAYER, units] for domain, units in enumerate(planted)]
    assert np.mean(hits) >= 0.8
    if assign == "highest":
        pairs = [
            (members[other, LAYER, units], other == domain)
            for domain, units in enumerate(planted)
            for other in range(5)
        ]
        wrong = [part for part, own in pairs if not own]
        assert np.mean(wrong) <= 0.05


def test_without_planting_the_same_units_are_rarely_of_that_domain(shipped, streams):
    units = np.random.default_rng(0).choice(256, (len(KINDS), PER_DOMAIN), replace=False)
    members = found_among(shipped, streams, top_rate=0.2, filter_rate=0.5, bar_rate=0.5, assign="highest")
    assert np.mean([members[domain, LAYER, own] for domain, own in enumerate(units)]) < 0.3
