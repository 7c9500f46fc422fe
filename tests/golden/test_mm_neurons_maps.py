"""Maps, masks and their pictures against those of the released code (golden README: heatmap)."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmscope.mm_neurons.image import maps, masks

FOUND = Path(__file__).parent / "mm_neurons" / "llava_find.npz"
HERE = FOUND.parent / "heatmap"
SIZES = (1, 10, 50, 100, 500, 1000)
# The best neuron by itself is the mean over one.
PICTURES = {"average_1": 1, "average_10": 10, "L2_u22": 1}


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "maps.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def picture():
    return Image.open(HERE / "image.png").convert("RGB")


def test_enlargement_is_exact_in_double_precision(golden):
    grids = np.moveaxis(golden["rect_in"], 2, 0)
    found = maps.enlarge(grids, (23, 31))
    assert np.abs(found - np.moveaxis(golden["rect_out_23x31"], 2, 0)).max() <= 1e-12


def test_enlargement_is_that_of_single_precision(golden):
    found = maps.enlarge(golden["rand_in"][..., 0], (224, 224))
    np.testing.assert_allclose(found, golden["rand_out_224"][..., 0], atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
def test_maps_and_masks_are_those_of_half_precision_but_for_its_rounding(size, golden):
    found, official = maps.enlarge(golden[f"mean_{size}"], (112, 112)), golden[f"interp_{size}"]
    assert np.abs(found - official).max() <= 1.2e-3
    own, other = masks.above(found, 95.0), masks.above(official, 95.0)
    assert (own & other).sum() / (own | other).sum() >= 0.98


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_maps_are_equal_pixel_by_pixel(name, golden, picture):
    shown = golden[f"interp_{PICTURES[name]}"]
    found = {"heatmap": maps.heat(picture, shown), "mask": masks.masked(picture, masks.above(shown, 95.0))}
    for kind, own in found.items():
        with Image.open(HERE / f"{kind}_{name}.png") as official:
            np.testing.assert_array_equal(np.asarray(own), np.asarray(official.convert("RGB")))


def test_means_over_the_best_neurons_are_the_official_grids(golden):
    with np.load(FOUND) as file:
        layer, unit = file["act_fn__img1__noun_dogs__mm_neurons"].T
        values = file["act_fn__img1__image_token_activation"][layer, :, unit]
    found = maps.means(values, SIZES, 5)
    for size in SIZES:
        # The released code adds up in half precision.
        np.testing.assert_allclose(found[f"average_{size}"].reshape(16, 16), golden[f"mean_{size}"], atol=3e-4)
    assert (layer[0], unit[0]) == (2, 22)
    np.testing.assert_array_equal(found["single_1"], found["average_1"])
