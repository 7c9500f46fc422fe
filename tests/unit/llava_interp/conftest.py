"""A shipped model, and drawn pictures with objects."""

from pathlib import Path

import pytest

from vlmscope import raw
from vlmscope.datasets import base
from vlmscope.llava_interp.asking import prompts, selection
from vlmscope.llava_interp.asking.selection import Filter
from vlmscope.models.load import describe, load
from vlmscope.store import files

WEIGHTS = Path(__file__).parents[3] / "weights"
FAMILIES = {"llava15": "llava", "llava-phi": "llava_phi"}
ANY = Filter(3, 0, 4096)


@pytest.fixture(scope="package", params=FAMILIES)
def manifest(request, tmp_path_factory):
    """The manifest of an embedded model."""
    target = tmp_path_factory.mktemp(request.param) / "model.json"
    settings = {"family": FAMILIES[request.param], "checkpoint": request.param, "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS / request.param, settings), target)
    return target


@pytest.fixture(scope="package")
def shipped(manifest):
    """The embedded model."""
    return load(manifest)


@pytest.fixture(scope="package")
def drawn(tmp_path_factory):
    """Drawn pictures with objects: manifest of the files, sample table."""
    folder = tmp_path_factory.mktemp("objects")
    found = raw.draw_benchmark("coco_objects", folder / "drawn", {"train": "train"}, {"train": 24})
    files.write_json(found, folder / "raw.json")
    samples = list(base.load("coco_objects").read(folder / "drawn", "train", name="objects"))
    return folder, samples


@pytest.fixture(scope="package")
def chosen(shipped, drawn):
    """Objects of the pictures."""
    return selection.targets(drawn[1], ANY, prompts.view(shipped), "aligned")[0]
