"""Maps and masks on small numbers; equality with the released code is checked in tests/golden."""

import numpy as np
import pytest
from PIL import Image

from vlmscope.mm_neurons.image import maps, masks


@pytest.mark.parametrize("interpolation", ["official", "centre"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (5, 7)])
def test_a_constant_grid_stays_constant(shape, interpolation):
    found = maps.enlarge(np.full((2, *shape), 3.0), (11, 13), interpolation)
    assert found.shape == (2, 11, 13)
    np.testing.assert_allclose(found, 3.0, atol=1e-12)


def test_centred_maps_mirror_with_their_grid_and_official_ones_do_not():
    grid = np.random.default_rng(0).normal(size=(4, 4))
    centred, official = (maps.enlarge(grid, (32, 32), kind) for kind in ("centre", "official"))
    mirrored = {kind: maps.enlarge(grid[:, ::-1], (32, 32), kind) for kind in ("centre", "official")}
    np.testing.assert_allclose(centred[:, ::-1], mirrored["centre"], atol=1e-12)
    assert np.abs(official[:, ::-1] - mirrored["official"]).max() > 0.1


def test_the_official_map_goes_beyond_its_grid_in_the_last_cell_and_the_centred_one_never_does():
    grid = np.array([[0.0, 1.0]])
    assert maps.enlarge(grid, (1, 8)).tolist() == [[0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]]
    found = maps.enlarge(grid, (1, 8), "centre")[0]
    assert found.tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]


def test_means_are_over_the_best_and_over_all_where_there_are_fewer():
    values = np.array([[4.0, 0.0], [2.0, 2.0], [0.0, 7.0]], np.float16)
    found = maps.means(values, [1, 2, 500], 2)
    assert {name: one.tolist() for name, one in found.items()} == {
        "average_1": [4, 0],
        "average_2": [3, 1],
        "average_500": [2, 3],
        "single_1": [4, 0],
        "single_2": [2, 2],
    }


def test_means_do_not_overflow_half_precision():
    assert maps.means(np.full((3, 2), 60_000, np.float16), [3], 0)["average_3"].tolist() == [60_000, 60_000]


def test_grey_values_are_cut_and_a_constant_map_is_black():
    assert maps.grey(np.array([[-1.0, 0.0, 1.0]])).tolist() == [[0, 127, 255]]
    assert not maps.grey(np.full((3, 3), 5.0)).any()
    assert not masks.above(np.full((3, 3), 5.0), 95).any()


def test_the_colours_run_from_blue_to_red():
    colors = maps.jet()
    assert colors.shape == (256, 3)
    ends = {0: (0, 0, 128), 32: (0, 0, 255), 96: (2, 255, 254), 128: (130, 255, 126), 159: (254, 255, 1)}
    ends |= {160: (255, 252, 0), 223: (255, 0, 0), 255: (128, 0, 0)}
    assert {place: tuple(colors[place].tolist()) for place in ends} == ends


def test_masks_keep_the_picture_above_the_percentile_and_darken_the_rest():
    picture = Image.new("RGB", (10, 10), (200, 100, 7))
    shown = np.arange(100.0).reshape(10, 10)
    kept = masks.above(shown, 95)
    assert np.argwhere(kept).tolist() == [[9, column] for column in range(5, 10)]
    found = np.asarray(masks.masked(picture, kept))
    assert (found[kept] == (200, 100, 7)).all()
    assert (found[~kept] == (43, 22, 2)).all()


def test_a_map_of_no_height_under_its_colours_is_evenly_blue():
    found = np.asarray(maps.heat(Image.new("RGB", (4, 4), "white"), np.ones((4, 4))))
    assert (found == found[0, 0]).all()
    assert found[0, 0].tolist() == [128, 128, 192]
