"""Runs from stored states: buffers, killed and resumed, several processes, memory."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.train import job, states
from vlmscope.multimodal_sae.train import run as train_run
from vlmscope.multimodal_sae.train.buffer import Buffer
from vlmscope.store import shards

SITE = "resid_post[1]"
SETTINGS = {
    **{"variant": "topk", "latents": 24, "expansion": 0, "k": 3, "normalize": True, "multi_topk": False},
    **{"prefixes": [], "bandwidth": 0.05, "aux_k": 0, "steps": 30, "rate": 0.005, "warmup": 3, "aux_weight": 0.03},
    **{"sparsity_weight": 0.0, "dead_after": 500, "accumulate": 1, "parts": 1, "clip": 1.0, "optimizer": "adam"},
    **{"compat": "none", "batch": 64, "buffer": 256, "seed": 3, "log_every": 2, "save_every": 2},
}


def stored(folder, counts=(700, 500), d=6):
    """Indices of one capture per count, each of two shards."""
    found, drawn = [], np.random.default_rng(0)
    mixing = drawn.standard_normal((3, d))
    for number, count in enumerate(counts):
        home = folder / str(number)
        paths = [str(home / f"{part:05d}.h5") for part in range(2)]
        for path in paths:
            values = (drawn.standard_normal((count // 2, 3)) @ mixing)[:, None]
            row = np.arange(count // 2, dtype=np.int32)
            arrays = {"values": values, "sample": row * 0, "position": row, "token": row}
            shards.write(path, ["one"], {f"{SITE}.all.values": arrays}, {})
        shards.close_index(home / "index.json", paths, {})
        found.append(str(home / "index.json"))
    return tuple(found)


@pytest.fixture(scope="module")
def indices(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("states"))


@pytest.fixture
def stream(indices):
    with contextlib.closing(states.Stored(indices, f"{SITE}.all.values", seed=0)) as found:
        yield found


@pytest.mark.parametrize(
    ("compat", "given", "wanted"),
    [("none", None, 1 / 32), ("official", None, 0), ("none", 0.5, 0.5), ("official", 0.5, 0.5), ("official", 0, 0)],
)
def test_released_runs_leave_dead_latents_alone_unless_told(compat, given, wanted, caplog):
    assert train_run.recipe(SETTINGS | {"compat": compat, "aux_weight": given}).aux_weight == wanted
    assert ("the wrong way" in caplog.text) == (compat == "official" and wanted > 0)


def task(indices, folder, **settings):
    return job.Job(SITE, SETTINGS | settings, str(folder / "state"), "code", indices=indices)


def run(one, folder, **options):
    weights = folder / "sae" / "sae.safetensors"
    told = train_run.make(one, str(weights), str(folder / "log.csv"), **options)
    return load_file(weights), told


def test_stored_states_come_once_per_round_in_a_new_order_each(stream):
    source = stream.blocks(0)
    rounds = [torch.cat([next(source)[1] for _ in stream.parts]) for _ in range(2)]
    assert len(rounds[0]) == stream.count == 1200
    assert torch.equal(rounds[0].sort(0).values, rounds[1].sort(0).values)
    (position, fifth), other = (one for one in (next(source), next(stream.blocks(2 * len(stream.parts)))))
    assert position == other[0] and torch.equal(fifth, other[1])


def test_processes_share_a_round_without_overlap(indices):
    parts = [states.Stored(indices, f"{SITE}.all.values", 0, (place, 2)) for place in range(2)]
    halves = [[next(source)[0] for _ in range(4)] for source in (one.blocks(0) for one in parts)]
    assert sorted(halves[0] + halves[1]) == list(range(1, 9))
    for one in parts:
        one.close()


def test_a_buffer_hands_out_everything_once_and_mixes_it():
    class Numbers:
        def blocks(self, position):
            while True:
                position += 1
                yield position, torch.arange(position * 10 - 10, position * 10.0)[:, None]

    buffer = Buffer(Numbers(), rows=100, batch=20, seed=0)
    source = iter(buffer)
    seen = torch.cat([next(source) for _ in range(30)]).squeeze(1)
    assert len(seen.unique()) == 600
    assert buffer.position <= 75 and seen.max() < 750
    neighbours = (seen[:-1] + 1 == seen[1:]).float().mean()
    assert neighbours < 0.1
    kept, rest = buffer.state(), torch.cat([next(source) for _ in range(10)])
    other = Buffer(Numbers(), rows=100, batch=20, seed=0)
    other.restore(kept)
    again = iter(other)
    assert torch.equal(torch.cat([next(again) for _ in range(10)]), rest)
    with pytest.raises(VlmscopeError, match="cannot mix"):
        Buffer(Numbers(), rows=30, batch=20, seed=0)


def test_a_run_learns_and_logs(indices, tmp_path):
    weights, told = run(task(indices, tmp_path, steps=200, log_every=20), tmp_path)
    assert weights["W_dec"].shape == (24, 6)
    assert told["step"].to_list() == list(range(20, 201, 20)) and told["tokens"][-1] == 200 * 64
    assert told["fvu"][-1] < 0.25 * told["fvu"][0] and told["l0"].max() <= 3
    assert not (tmp_path / "state").exists()


KILLED = """
import os, sys, json
sys.path.insert(0, {root!r})
from vlmscope.multimodal_sae.train import job, run
told = json.loads(sys.argv[1])
calls = [0]
own = run._keep
def keep(*args):
    own(*args)
    calls[0] += 1
    if calls[0] == 2:
        os.kill(os.getpid(), 9)
run._keep = keep
run.make(job.Job(**told["job"]), told["weights"], told["table"])
"""


def test_a_killed_run_goes_on_to_the_same_weights(indices, tmp_path):
    whole, log = run(task(indices, tmp_path / "whole"), tmp_path / "whole")
    one, folder = task(indices, tmp_path / "killed"), tmp_path / "killed"
    told = {"job": {key: getattr(one, key) for key in ("site", "settings", "state", "code", "indices")}}
    told |= {"weights": str(folder / "sae" / "sae.safetensors"), "table": str(folder / "log.csv")}
    code = KILLED.format(root=str(Path(__file__).parents[3]))
    done = subprocess.run([sys.executable, "-c", code, json.dumps(told)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (folder / "state" / "latest.json").is_file() and not (folder / "sae").exists()
    again, later = run(one, folder)
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    timeless = pl.exclude("tokens_per_s")
    assert later.select(timeless).equals(log.select(timeless))


def test_what_a_run_of_other_settings_left_is_not_used(indices, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "latest.json").write_text(json.dumps({"step": 4, "processes": 1, "digest": "other"}))
    run(task(indices, tmp_path), tmp_path)


@pytest.mark.slow
def test_two_processes_train_one_autoencoder_and_go_on_alike(indices, tmp_path):
    """Each sees half of the data; both agree on every step, and the tokens of both count."""
    weights, told = run(task(indices, tmp_path, steps=60, log_every=10), tmp_path, processes=2)
    assert told["tokens"].to_list() == [2 * 64 * step for step in told["step"]]
    assert told["fvu"][-1] < 0.5 * told["fvu"][0]
    again, _ = run(task(indices, tmp_path / "again", steps=60, log_every=10), tmp_path / "again", processes=2)
    assert all(torch.equal(again[name], value) for name, value in weights.items())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_states(tmp_path):
    """Peak memory of a run over 4 times the states; all of them would take 61 MB more."""
    peaks = []
    for count in (40_000, 160_000):
        indices = stored(tmp_path / str(count), (count,), d=128)
        code = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
            "from vlmscope.multimodal_sae.train import job, run\n"
            f"one = job.Job({SITE!r}, {SETTINGS | {'steps': 400, 'batch': 512, 'buffer': 4096}!r}, "
            f"{str(tmp_path / 'state')!r}, '', indices={indices!r})\n"
            f"run.make(one, {str(tmp_path / 'sae' / 'sae.safetensors')!r}, {str(tmp_path / 'log.csv')!r})\n"
            "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(1024 * int(done.stdout))
    assert peaks[1] - peaks[0] < 0.2 * 120_000 * 128 * 4, peaks
