from pathlib import Path

import pytest

from vlmscope import raw
from vlmscope.capture import batches
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.models.load import describe, load
from vlmscope.store import files

WEIGHTS = Path(__file__).parents[3] / "weights"
FAMILIES = {"llava-llama2": "llava_llama2", "blip": "instructblip", "mplug-owl2": "mplug_owl2"}


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """A function that gives the manifest of an embedded model."""
    known = {}

    def of(name, dtype="float32"):
        if (name, dtype) not in known:
            target = tmp_path_factory.mktemp(name) / "model.json"
            kind = FAMILIES.get(name, name)
            settings = {"family": kind, "checkpoint": f"weights/{name}", "revision": "", "dtype": dtype}
            files.write_json(describe(WEIGHTS / name, settings), target)
            known[name, dtype] = target
        return known[name, dtype]

    return of


@pytest.fixture(scope="session")
def shipped(manifest):
    """A function that gives an embedded model."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = load(manifest(name))
        return known[name]

    return of


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Six drawn pictures of SBU Captions, and their folder."""
    root = tmp_path_factory.mktemp("sbu")
    raw.draw_benchmark("sbu", root, {"val": "train"}, {"val": 6})
    return list(base.load("sbu").read(root, "train", name="sbu", query="describe the image.")), root


@pytest.fixture(scope="session")
def described(shipped, scenes):
    """A function that gives a model and one batch of all pictures with the model's captions behind the prompts."""

    def of(name):
        loaded, (samples, root) = shipped(name), scenes
        told = prompts(loaded, base.load("sbu"), "chat")
        stream = batches.prefill(loaded, samples, told, batches.picture_of(root), len(samples))
        return loaded, next(batches.answered(loaded, stream, 24))

    return of
