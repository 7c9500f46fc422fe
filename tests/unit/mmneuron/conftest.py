from pathlib import Path

import numpy as np
import pytest

from vlmscope import raw
from vlmscope.datasets import base
from vlmscope.models.load import describe, load
from vlmscope.store import files
from vlmscope.store.shards import DomainCounts

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


@pytest.fixture(scope="session")
def counts_of():
    """Random counts of three domains by seed."""

    def made(seed):
        fired = np.random.default_rng(seed).integers(0, 101, size=(3, 2, 40))
        return DomainCounts(("a", "b", "c"), fired, fired * 0.5, np.array([100, 100, 200]), (10, 10, 20))

    return made
