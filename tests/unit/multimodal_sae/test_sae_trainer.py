"""The training loop: the released order against an independent one, resuming, dead latents, unit rows."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmscope.multimodal_sae.coder import sae
from vlmscope.multimodal_sae.train.trainer import Recipe, Trainer

D, F, K = 8, 32, 4


def batches(count, tokens=24, seed=0, drift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(5, D, generator=generator)
    return [
        torch.randn(tokens, 5, generator=generator) @ mixing + drift * torch.randn(D, generator=generator)
        for _ in range(count)
    ]


def coder(**more):
    return sae.SparseCoder(sae.Config(D, F, K, **more), seed=5)


def released(start, stream, *, accumulate, parts, rate, warmup, alpha, threshold):
    """The loop of multimodal_sae.md 2.2, written for numbers alone: float64, dense, own Adam, own gradients."""
    p = {name: one.detach().double().clone().requires_grad_() for name, one in start.named_parameters()}
    moments = {name: [torch.zeros_like(one), torch.zeros_like(one)] for name, one in p.items()}
    since, fired = torch.zeros(F, dtype=torch.int64), torch.zeros(F, dtype=torch.bool)
    steps, window, log = 0, 0, []

    def decode(values, index):
        return torch.zeros(len(values), F).double().scatter(1, index, values) @ p["W_dec"] + p["b_dec"]

    for number, x in enumerate(stream):
        x = x.double()
        if number == 0:
            guess = x.mean(0)
            for _ in range(100):
                weight = 1 / (x - guess).norm(dim=1)
                before, guess = guess, (weight / weight.sum()) @ x
                if (guess - before).norm() < 1e-5:
                    break
            p["b_dec"].data = guess
        p["W_dec"].data /= p["W_dec"].data.norm(dim=1, keepdim=True) + torch.finfo(torch.float32).eps
        told = []
        for part in x.chunk(parts):
            pre = torch.relu((part - p["b_dec"]) @ p["encoder.weight"].T + p["encoder.bias"])
            values, index = pre.topk(K, sorted=False)
            e = decode(values, index) - part
            variance = ((part - part.mean(0)) ** 2).sum()
            fvu, aux = (e**2).sum() / variance, torch.zeros(()).double()
            dead = since > threshold
            if alpha and dead.any():
                most = min(D // 2, int(dead.sum()))
                hidden = torch.where(dead, pre, -torch.inf).topk(most, sorted=False)
                aux = min(int(dead.sum()) / (D // 2), 1.0) * ((decode(*hidden) - e) ** 2).sum() / variance
            ((fvu + alpha * aux) / (accumulate * parts)).backward()
            fired[index.flatten()] = True
            told.append([float(fvu.detach()), float(aux.detach())])
        window += len(x)
        norm = torch.sqrt(sum((one.grad**2).sum() for one in p.values()))
        for one in p.values():
            one.grad *= min(1.0, 1.0 / (float(norm) + 1e-6))
        log.append(np.mean(told, 0))
        if (number + 1) % accumulate:
            continue
        with torch.no_grad():
            rows = p["W_dec"].detach()
            p["W_dec"].grad -= (p["W_dec"].grad * rows).sum(1, keepdim=True) * rows
            total = len(stream)
            share = steps / warmup if steps < warmup else max(0.0, (total - steps) / (total - warmup))
            steps += 1
            for name, one in p.items():
                first, second = moments[name]
                first.mul_(0.9).add_(one.grad, alpha=0.1)
                second.mul_(0.999).add_(one.grad**2, alpha=0.001)
                up, down = first / (1 - 0.9**steps), (second / (1 - 0.999**steps)).sqrt() + 1e-8
                one -= rate * share * up / down
                one.grad = None
        since += window
        since[fired] = 0
        fired[:] = False
        window = 0
    return p, since, log


@pytest.mark.parametrize(("alpha", "accumulate", "parts"), [(0.0, 1, 1), (1 / 32, 2, 2), (1 / 32, 3, 1)])
def test_the_released_loop_gives_the_same_weights_logs_and_counters(alpha, accumulate, parts):
    stream = batches(18, drift=1.0)
    told = {"accumulate": accumulate, "parts": parts, "warmup": 3}
    wanted, since, log = released(coder(), stream, rate=2e-3, alpha=alpha, threshold=100, **told)
    recipe = Recipe(18, 2e-3, aux_weight=alpha, dead_after=100, official=True, **told)
    trainer = Trainer(coder(), recipe)
    records = [one for one in map(trainer.learn, stream) if one]
    for name, one in wanted.items():
        found = trainer.weights[name].detach().double()
        assert float((found - one.detach()).norm() / one.detach().norm()) < 1e-4, name
    assert torch.equal(trainer.since, since)
    means = np.array(log).reshape(-1, accumulate, 2).mean(1)
    np.testing.assert_allclose([[one.fvu, one.aux] for one in records], means, rtol=1e-5, atol=1e-8)
    assert alpha == 0 or max(one.aux for one in records) > 0
    assert records[0].lr == 0 and records[-1].tokens == 18 * 24


@pytest.mark.parametrize("optimizer", ["adam", "signum"])
def test_it_learns_and_rows_keep_their_length(optimizer):
    trainer = Trainer(coder(), Recipe(150, {"adam": 1e-2, "signum": 3e-3}[optimizer], optimizer=optimizer, warmup=5))
    told = []
    for x in batches(150, tokens=64):
        told.append(trainer.learn(x))
        assert float((trainer.coder.W_dec.detach().norm(dim=1) - 1).abs().max()) < 1e-6
    assert np.mean([one.fvu for one in told[-10:]]) < 0.4 * told[0].fvu
    assert told[0].lr > 0 and told[-1].lr < told[10].lr


def test_more_active_latents_leave_less():
    left = []
    for k in (1, 2, 4):
        trainer = Trainer(sae.SparseCoder(sae.Config(D, F, k), seed=5), Recipe(150, 1e-2))
        left.append(np.mean([trainer.learn(x).fvu for x in batches(150, tokens=64)][-10:]))
    assert left[0] > left[1] > left[2] and left[2] < 0.2


def test_dead_latents_come_back_where_they_may_learn_from_what_is_left():
    def dead(weight):
        start = coder()
        with torch.no_grad():
            start.encoder.bias[: F // 2] = -3
        trainer = Trainer(start, Recipe(400, 5e-3, aux_weight=weight, dead_after=500))
        return [trainer.learn(x) for x in batches(400, tokens=64)][-1].dead

    assert dead(1 / 32) < dead(0.0)


@pytest.mark.parametrize("optimizer", ["adam", "signum"])
@pytest.mark.parametrize("variant", [{}, {"variant": "batch_topk"}, {"variant": "jumprelu"}])
def test_a_run_that_goes_on_later_gives_the_same_weights(optimizer, variant):
    recipe = Recipe(12, 1e-3, optimizer=optimizer, accumulate=2, dead_after=50, warmup=2)
    stream, one = batches(12), Trainer(coder(**variant), recipe)
    for place, x in enumerate(stream):
        if place == 6:
            kept = {name: value.clone() for name, value in one.state().items()}
        one.learn(x)
    other = Trainer(sae.SparseCoder(one.coder.config, seed=77), recipe)
    other.restore(kept)
    records = [other.learn(x) for x in stream[6:]]
    assert all(torch.equal(value, other.state()[name]) for name, value in one.state().items())
    assert records[-1].step == 6 and records[-1].tokens == 12 * 24


def _half(place, meeting, target):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=place, world_size=2)
    trainer = Trainer(coder(), Recipe(6, 2e-3, dead_after=60))
    for x in batches(12)[place::2]:
        trainer.learn(x)
    save_file(trainer.state(), f"{target}{place}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_two_batches_per_step(tmp_path):
    """But for the median, which the two take of both first batches."""
    torch.multiprocessing.spawn(_half, args=(str(tmp_path / "meeting"), str(tmp_path / "state")), nprocs=2)
    one, other = (load_file(tmp_path / f"state{place}") for place in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one if name != "trainer.counts")
    start = coder()
    start.b_dec.data.copy_(sae.geometric_median(torch.cat(batches(12)[:2])))
    single = Trainer(start, Recipe(6, 2e-3, dead_after=60, accumulate=2, median=False))
    for x in batches(12):
        single.learn(x)
    wanted = single.state()
    assert torch.equal(one["trainer.since"], wanted["trainer.since"])
    for name in single.weights:
        torch.testing.assert_close(one[f"coder.{name}"], wanted[f"coder.{name}"], rtol=1e-4, atol=1e-5)
