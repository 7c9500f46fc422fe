"""Objects and patches as the released code finds them (llava_interp.md 2.2-2.4)."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlmscope.llava_interp.asking import geometry
from vlmscope.llava_interp.asking.geometry import View

HERE = Path(__file__).parent / "llava_interp"
VIEW = View(336, 24)
CASES = json.loads((HERE / "geometry.json").read_text())
UNITS = json.loads((HERE / "units.json").read_text())


@pytest.fixture(scope="module")
def arrays():
    with np.load(HERE / "units.npz") as file:
        return dict(file)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_patches_and_buffers_are_the_released_ones(case):
    size = tuple(case["size"])
    found = geometry.official(case, size, VIEW)
    if case["corrected"] is None:
        assert found is None
        return
    assert geometry.corrected(case, size) == case["corrected"]["segmentation"]
    assert found == case["patches"]
    for buffer in (1, 2):
        assert geometry.grown(found, buffer, 24) == case[f"buffer{buffer}"]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_aligned_patches_are_the_measured_ones(case):
    assert geometry.aligned(case, tuple(case["size"]), VIEW) == (case["aligned"] or [])


@pytest.mark.parametrize("case", UNITS["buffer"], ids=str)
def test_patches_grow_as_released(case):
    assert geometry.grown(case["in"], case["buffer"], 24) == case["out"]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_patches_are_overwritten_as_released(arrays, mode):
    pixels, places = arrays[f"replace_{mode}_in"], arrays["replace_indices"].tolist()
    assert (geometry.overwritten(pixels, places, 24, geometry.GREY) == arrays[f"replace_{mode}_gray"]).all()
    tile = geometry.noise(pixels, 24, np.random.RandomState(3))
    assert (geometry.overwritten(pixels, places, 24, tile) == arrays[f"replace_{mode}_noise_seed3"]).all()
