"""Masks, geometry and the image processor agree on where an object is."""

import numpy as np
import pytest
from PIL import Image

from vlmscope.datasets.vqav2 import run_lengths
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import geometry
from vlmscope.llava_interp.asking.geometry import View
from vlmscope.metrics import masks

VIEW = View(336, 24)
SIZES = [(640, 480), (480, 640), (640, 427), (427, 640), (500, 375), (336, 336), (100, 80), (24, 24), (23, 40)]


def packed(counts):
    """Counts as COCO packs them into text."""
    text = ""
    for place, count in enumerate(counts):
        value, more = count - (counts[place - 2] if place > 2 else 0), True
        while more:
            part, value = value & 31, value >> 5
            more = not ((value == 0 and not part & 16) or (value == -1 and part & 16))
            text += chr((part | (32 if more else 0)) + 48)
    return text


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_come_back_as_numbers_and_packed(seed):
    found = np.random.default_rng(seed).random((13, 70)) < 0.02 * 4**seed
    runs = run_lengths(found)
    assert (masks.of_runs(runs) == found).all()
    assert masks.unpacked(packed(runs["counts"])) == runs["counts"]
    assert (masks.mask({**runs, "counts": packed(runs["counts"])}, 70, 13) == found).all()


def test_a_rectangle_fills_its_pixels():
    found = masks.of_polygon([2, 3, 7, 3, 7, 9, 2, 9], 12, 12)
    expected = np.zeros((12, 12), dtype=bool)
    expected[3:9, 2:7] = True
    assert (found == expected).all()


def test_several_polygons_are_joined():
    both = masks.mask([[0, 0, 3, 0, 3, 3, 0, 3], [5, 5, 8, 5, 8, 8, 5, 8]], 10, 10)
    assert both.sum() == 18 and both[1, 1] and both[6, 6]


@pytest.mark.parametrize(
    "wrong",
    [[1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 0, 1, float("nan"), 2, 2], {"size": [2, 2], "counts": [3]}, {"size": [2]}],
)
def test_what_is_no_mask_is_refused(wrong):
    with pytest.raises(VlmscopeError):
        masks.mask(wrong if isinstance(wrong, dict) else [wrong], 10, 10)


@pytest.mark.parametrize("size", SIZES)
def test_the_processor_s_way_is_known_within_a_pixel(size):
    """Ramps of colour through the processor say which place of the picture stands at each edge."""
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, image_mean=[0] * 3, image_std=[1] * 3
    )
    width, height = size
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.arange(width) * 255 / max(1, width - 1)
    ramp[..., 1] = np.arange(height)[:, None] * 255 / max(1, height - 1)
    picture = Image.fromarray(ramp)
    seen = np.asarray(processor(picture, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
    ours = np.asarray(geometry.viewed(picture, VIEW, "aligned")) / 255
    # Less than the step from one pixel to the next, 0.4 gray levels or more.
    assert np.abs(seen - ours).max() * 255 < 0.3


@pytest.mark.parametrize("size", SIZES[:7])
def test_a_mask_and_its_polygon_touch_almost_the_same_patches(size):
    width, height = size
    box = [0.4 * width, 0.3 * height, 0.6 * width, 0.3 * height, 0.6 * width, 0.55 * height, 0.4 * width, 0.55 * height]
    polygon = {"segmentation": [box]}
    runs = {"segmentation": run_lengths(masks.of_polygon(box, width, height))}
    first, second = (set(geometry.aligned(one, size, VIEW)) for one in (polygon, runs))
    assert len(first & second) / len(first | second) > 0.8


def test_an_object_outside_of_the_square_is_not_there():
    one = {"segmentation": [[0, 0, 5, 0, 5, 9, 0, 9]], "bbox": [0, 0, 5, 9]}
    for mode in ("aligned", "official"):
        assert geometry.patches(one, (100, 30), View(24, 6), mode) is None


def test_nothing_of_a_scaled_mask_is_lost():
    found = np.zeros((400, 400), dtype=bool)
    found[399, 7] = True
    one = {"segmentation": run_lengths(found), "bbox": [7, 399, 1, 1]}
    assert geometry.aligned(one, (400, 400), View(24, 6)) == [30]


def test_every_kind_of_picture_is_viewed():
    for mode in ("L", "CMYK", "RGBA", "P"):
        picture = Image.new(mode, (17, 40)).convert("RGB")
        assert geometry.viewed(picture, VIEW, "aligned").size == (336, 336)
        assert geometry.viewed(picture, VIEW, "official").size == (17, 17)
