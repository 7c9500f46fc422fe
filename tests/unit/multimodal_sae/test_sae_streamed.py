"""Runs beside the model: whole conversations, with pictures and without, and what memory they take."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vlmscope import raw, samples
from vlmscope.datasets import llava_next_data
from vlmscope.models import inputs
from vlmscope.models.load import describe, load
from vlmscope.multimodal_sae.train import states
from vlmscope.store import files, tables

ROOT = Path(__file__).parents[3]
MODEL = {
    "family": "llava_next_llama3",
    "checkpoint": "",
    "revision": "",
    "dtype": "float32",
    "quantize": "none",
    "attention": "auto",
}
READ = {"prompt": "talk", "begin": "", "samples": 10_000, "vision_positions": 0}
SETTINGS = {
    **{"variant": "topk", "latents": 64, "expansion": 0, "k": 4, "normalize": True, "multi_topk": False},
    **{"prefixes": [], "bandwidth": 0.05, "aux_k": 0, "rate": 0.005, "warmup": 3, "aux_weight": 0.03},
    **{"sparsity_weight": 0.0, "dead_after": 500, "accumulate": 1, "parts": 1, "clip": 1.0, "optimizer": "adam"},
    **{"compat": "none", "batch": 512, "buffer": 2048, "seed": 3, "log_every": 50, "save_every": 0},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Manifests of the model and of a few conversations, and their sample table."""
    folder = tmp_path_factory.mktemp("streamed")
    files.write_json(describe(ROOT / "weights" / "llava-next-llama3", MODEL), folder / "model.json")
    about = raw.draw_benchmark("llava_next_data", folder / "drawn", {"train": "train"}, {"train": 16})
    files.write_json(about, folder / "raw.json")
    read = samples.table(llava_next_data.read(folder / "drawn", "train", name="chats"))
    tables.write(read, folder / "train.parquet", samples.SCHEMA)
    return folder


def given(home, table):
    return {"raws": [str(home / "raw.json")], "tables": [str(table)], "kinds": ["llava_next_data"], "settings": READ}


def test_conversations_with_and_without_a_picture_share_no_batch_and_are_read_as_alone(home):
    loaded = load(str(home / "model.json"), "cpu")
    stream = states.streamed(loaded, "resid_post[1]", **given(home, home / "train.parquet"), batch=4, seed=0)
    kinds = [{bool(stream.samples[row].images) for row in part} for part in stream.parts]
    assert {True} in kinds and {False} in kinds and {True, False} not in kinds
    for number, part in enumerate(stream.parts):
        together = stream.read(number)
        ids = [loaded.processor.tokenizer(stream.prompts[row].replace("<image>", ""))["input_ids"] for row in part]
        assert len(together) >= sum(map(len, ids))
        alone = []
        for row in part:
            one = stream.samples[row]
            shown = [stream.pictures[row](one)] if one.images else []
            tensors = inputs.encode(loaded, [stream.prompts[row]], shown, side="right")
            assert ("pixel_values" in tensors) == bool(one.images)
            alone.append(states.states(loaded, stream.take, inputs.Batch((0,), tensors)))
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(home, tmp_path):
    """Peak memory of a run through five times the pictures; the states of the others would take 36 MB and more."""
    few = samples.read(home / "train.parquet")
    peaks, rows = [], []
    for times in (8, 40):
        many = [replace(one, sample=f"{one.sample}-{k}") for k in range(times) for one in few]
        table = tmp_path / f"{times}.parquet"
        tables.write(samples.table(many), table, samples.SCHEMA)
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "import json; from vlmscope.multimodal_sae.train import job, run\n"
            "one = job.Job(**json.loads(sys.argv[1]))\n"
            f"read = []; inner = run.states.Streamed.read\n"
            "run.states.Streamed.read = lambda self, number: (x := inner(self, number), read.append(len(x)))[0]\n"
            f"run.make(one, {str(tmp_path / 'sae' / 'sae.safetensors')!r}, {str(tmp_path / 'log.csv')!r})\n"
            "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
            "print(json.dumps([int(peak.split()[1]), sum(read)]))"
        )
        told = {"site": "resid_post[1]", "settings": SETTINGS | {"steps": 6 * times}, "state": str(tmp_path / "state")}
        told |= {"code": "", "model": str(home / "model.json"), "data": given(home, table), "batch": 8}
        done = subprocess.run([sys.executable, "-c", code, json.dumps(told)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peak, count = json.loads(done.stdout.splitlines()[-1])
        peaks.append(1024 * peak)
        rows.append(count)
    more = (rows[1] - rows[0]) * 96 * 4
    print(f"peaks {peaks}, {rows} states, all further ones {more} bytes")
    assert more > 30e6 and peaks[1] - peaks[0] < 0.3 * more
