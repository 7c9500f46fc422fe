"""The embedded model loaded onto GPUs as a job does it: the CPU's logits, captures and edits, in every precision."""

import importlib.util
import json
from pathlib import Path

import machine
import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope.capture import plan, run
from vlmscope.edits import zeroed
from vlmscope.models import answer, inputs, load
from vlmscope.models.inputs import Batch

if machine.lacking():
    pytest.skip(machine.lacking(), allow_module_level=True)

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "llava"
SETTINGS = {"family": "llava_next", "checkpoint": "weights/llava", "revision": "", "dtype": "float32"}
TAKES = [
    {"site": "mlp_gate", "where": "all", "keep": "counts"},
    {"site": "vision_gate", "where": "all", "keep": "counts"},
    {"site": "resid_post", "where": "last", "keep": "values"},
]
UNITS = {"mlp_gate": {0: [1, 2, 3], 1: [4]}, "vision_gate": {1: [5]}}
# dtype -> largest difference of logits from float32 on the CPU, relative to the largest logit.
NEAR = {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}


@pytest.fixture(scope="module")
def loaded_in(tmp_path_factory):
    """The model in a precision on a device."""

    def loaded(device, **precision):
        path = tmp_path_factory.mktemp("model") / "model.json"
        path.write_text(json.dumps(load.describe(WEIGHTS, SETTINGS | precision)))
        return load.load(path, device)

    return loaded


def batch(loaded, side="right"):
    """Noise under three questions of different length."""
    draw = np.random.default_rng(0)
    pictures = [Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(3)]
    asked = ("What is shown?", "How many?", "Is there a red circle in the picture?")
    prompts = [loaded.family.template.format(prompt=f"<image>\n{one}") for one in asked]
    return Batch((0, 1, 2), inputs.encode(loaded, prompts, pictures, side))


@torch.inference_mode()
def logits(loaded):
    return run.forward(loaded, batch(loaded)).logits.float().cpu()


def difference(loaded, reference):
    return float((logits(loaded) - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize("dtype", NEAR)
def test_logits_are_the_cpu_s(loaded_in, dtype):
    loaded = loaded_in(machine.DEVICE, dtype=dtype)
    assert {(one.device.type, one.dtype) for one in loaded.model.parameters()} == {
        (machine.DEVICE, getattr(torch, dtype))
    }
    assert difference(loaded, logits(loaded_in("cpu"))) <= NEAR[dtype]


@pytest.mark.parametrize("dtype", NEAR)
def test_captures_and_edits_are_the_cpu_s(loaded_in, dtype):
    reference, loaded = loaded_in("cpu"), loaded_in(machine.DEVICE, dtype=dtype)
    takes = plan.resolve(TAKES, loaded.family, loaded.config)
    kept = [[one.arrays for one in run.capture(each, takes, [batch(each)])] for each in (reference, loaded)]
    for one, other in zip(*kept, strict=True):
        if "fired" in one:
            assert one["seen"] == other["seen"]
            assert np.abs(one["fired"] - other["fired"]).sum() <= NEAR[dtype] * one["seen"] * one["fired"].size
        else:
            scale = np.linalg.norm(one["values"])
            assert np.linalg.norm(one["values"] - other["values"]) <= NEAR[dtype] * scale
    before = logits(loaded)
    with zeroed(loaded, UNITS), zeroed(reference, UNITS):
        assert not torch.equal(logits(loaded), before)
        assert difference(loaded, logits(reference)) <= NEAR[dtype]
    assert torch.equal(logits(loaded), before)


def test_answers_in_float32_are_the_cpu_s(loaded_in):
    written = []
    for device in ("cpu", machine.DEVICE):
        loaded = loaded_in(device)
        written.append(answer.new_tokens(loaded, batch(loaded, "left").inputs, 6))
    assert written[0] == written[1]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason=f"{torch.cuda.device_count()} GPUs; this wants two")
def test_a_model_over_all_gpus_is_the_one_on_a_single_gpu(loaded_in):
    alone, apart = loaded_in("cuda"), loaded_in("auto")
    assert len({one.device for one in apart.model.parameters()}) > 1
    assert difference(apart, logits(alone)) <= NEAR["float32"]
    takes = plan.resolve(TAKES, apart.family, apart.config)
    assert [one.arrays.keys() for one in run.capture(apart, takes, [batch(apart)])]


@pytest.mark.skipif(machine.DEVICE != "cuda", reason="packed weights need a GPU")
@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_packed_weights_are_read_captured_and_edited(loaded_in, kind):
    loaded = loaded_in(machine.DEVICE, dtype="float16", quantize=kind)
    before = logits(loaded)
    assert difference(loaded, logits(loaded_in("cpu"))) <= 0.5
    run.capture(loaded, plan.resolve(TAKES, loaded.family, loaded.config), [batch(loaded)])
    with zeroed(loaded, UNITS):
        assert not torch.equal(logits(loaded), before)
    assert torch.equal(logits(loaded), before)
