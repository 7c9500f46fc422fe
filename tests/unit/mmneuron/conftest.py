from pathlib import Path

import pytest

from vlmscope import raw
from vlmscope.datasets import base
from vlmscope.models.load import describe, load
from vlmscope.store import files

WEIGHTS = Path(__file__).parents[3] / "weights" / "llava"


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """The embedded model."""
    target = tmp_path_factory.mktemp("model") / "model.json"
    settings = {"family": "llava_next", "checkpoint": "weights/llava", "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS, settings), target)
    return load(target)


@pytest.fixture(scope="session")
def asked(tmp_path_factory):
    """Six drawn questions of DocVQA, whose pictures differ in size, and the folder of their pictures."""
    root = tmp_path_factory.mktemp("doc")
    raw.draw_benchmark("docvqa", root, {"val": "val"}, {"val": 6})
    return list(base.load("docvqa").read(root, "val", name="doc")), root
