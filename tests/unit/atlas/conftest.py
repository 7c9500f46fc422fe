"""The embedded LLaVA-1.5, drawn pictures with objects, and words of which little is known."""

from pathlib import Path

import numpy as np
import pytest

from vlmscope import raw
from vlmscope.atlas import known
from vlmscope.atlas.known import Known, Units
from vlmscope.capture.batches import picture_of
from vlmscope.config import default, plain
from vlmscope.datasets import base
from vlmscope.llava_interp.asking import experiments, prompts, selection
from vlmscope.llava_interp.asking.selection import Filter
from vlmscope.models.load import describe, load
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.store import files

WEIGHTS = Path(__file__).parents[3] / "weights"
WORDS = ("cat", "chair")
BLOCK, LATENTS = 1, 24


@pytest.fixture(scope="package")
def shipped(tmp_path_factory):
    """The embedded model."""
    target = tmp_path_factory.mktemp("llava15") / "model.json"
    told = {"family": "llava", "checkpoint": "llava15", "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS / "llava15", told), target)
    return load(target)


@pytest.fixture(scope="package")
def settings():
    """Those of the passes, made small."""
    tree = plain(default())
    told = {key: tree["llava_interp"][key] for key in ("objects", "asking")} | {"value": "zero", "pictures": 1}
    told |= {key: tree["mm_neurons"]["edit"][key] for key in ("preserve", "ridge")}
    told["runs"] = tree["atlas"]["runs"]
    told["steer"] = tree["atlas"]["steer"] | {"strengths": [0.3, 1.0, 3.0], "apart": 3, "images": 3, "random": 1}
    return told


@pytest.fixture(scope="package")
def drawn(tmp_path_factory):
    """Manifest of the pictures' files, and their samples."""
    folder = tmp_path_factory.mktemp("objects")
    files.write_json(
        raw.draw_benchmark("coco_objects", folder / "drawn", {"train": "train"}, {"train": 60}), folder / "raw.json"
    )
    return folder / "raw.json", list(base.load("coco_objects").read(folder / "drawn", "train", name="objects"))


@pytest.fixture(scope="package")
def targets(shipped, drawn):
    """Objects of the pictures."""
    return selection.targets(drawn[1], Filter(3, 0, 4096), prompts.view(shipped), "aligned")[0]


@pytest.fixture(scope="package")
def bench(shipped, drawn, settings):
    """What passes need of files; replaced tokens become zeros."""
    picture = picture_of(files.read_json(drawn[0])["root"])
    return experiments.Bench(shipped, picture, None, None, settings, 8)


@pytest.fixture(scope="package")
def words(shipped):
    """Random states, latents and neurons for the words."""
    config = shipped.config.text_config
    depth, width, units = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    generator = np.random.default_rng(0)
    groups = {word: generator.normal(size=(20, width)).astype(np.float32) * 6 for word in WORDS}
    own = {
        word: Units(np.array([0, 1, 1]), np.array([3, 5, 7 + place]), np.array([1.0, -1.0, 1.0]))
        for place, word in enumerate(WORDS)
    }
    free = known.taken(own.values(), (depth, units))
    return Known(
        words=list(WORDS),
        scales={block: known.scales(groups) for block in range(depth)},
        block=BLOCK,
        length=60.0,
        covariance=np.concatenate(list(groups.values())),
        coder=SparseCoder(Config(width, LATENTS, 4)),
        latents={"cat": [(2, 0.9), (4, 0.8)], "chair": [(4, 0.9), (5, 0.8)]},
        silent=[9, 10],
        neurons=own,
        others={word: known.others(one, free, generator) for word, one in own.items()},
        domains={"com": generator.random((depth, units)) < 0.1, "med": generator.random((depth, units)) < 0.1},
    )
