import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope import raw
from vlmscope import samples as table
from vlmscope.datasets import sbu
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.image import grids
from vlmscope.mm_neurons.image.grids import Seen, Units
from vlmscope.mm_neurons.measures import sensitivity
from vlmscope.store import files
from vlmscope.world.draw import draw

SIDE = 8
SETTINGS = {"kind": "sbu", "k": [1, 2, 9], "percentile": 95.0, "interpolation": "centre", "bootstrap": 50, "seed": 0}


def region(rows, columns, size=8):
    mask = np.zeros((size, size), bool)
    mask[rows, columns] = True
    return mask


# ---- one map -----------------------------------------------------------------------------------------------------


def test_a_map_that_is_the_region_reaches_one():
    mask = region(slice(0, 2), slice(0, 4))
    found = sensitivity.measured(mask * 2.0, mask, 95)
    assert found["pointing"] == found["positive_share"] == 1
    assert found["area"] == 8 / 64


def test_values_by_hand():
    shown = np.zeros((4, 4))
    # The highest pixel lies outside; a quarter of the positive map inside; what is negative does not count.
    shown[0, 0], shown[3, 3], shown[2, 2] = 3.0, 1.0, -5.0
    mask = region(slice(2, 4), slice(2, 4), size=4)
    found = sensitivity.measured(shown, mask, 90)
    assert found["pointing"] == 0
    assert found["positive_share"] == pytest.approx(1 / 4)
    # Above the 90th percentile (0.5 between 0 and 1 of the sorted values): both positive pixels.
    assert found["iou"] == pytest.approx(1 / 5)
    shown[3, 3] = 4.0
    assert sensitivity.measured(shown, mask, 90)["pointing"] == 1


def test_as_many_pixels_as_the_region_has():
    generator = np.random.default_rng(0)
    mask = region(slice(0, 4), slice(0, 4))
    shown = generator.random((8, 8)) + 2 * mask
    assert sensitivity.measured(shown, mask, 95)["iou_same_area"] == 1
    # Five pixels in a hundred are far fewer than the region has.
    assert sensitivity.measured(shown, mask, 95)["iou"] < 0.3


def test_a_map_that_is_nowhere_positive_has_no_share():
    found = sensitivity.measured(-np.ones((4, 4)), region(slice(0, 2), slice(0, 2), size=4), 95)
    assert math.isnan(found["positive_share"])
    assert found["iou"] == 0


def test_a_region_is_enlarged_with_its_picture_and_never_bent():
    mask = region(slice(2, 4), slice(0, 8))
    found = sensitivity.fitted(mask, Image.new("RGB", (16, 16)))
    assert found.shape == (16, 16)
    assert found.sum() == 4 * mask.sum()
    assert found[4:8].all()
    with pytest.raises(VlmscopeError, match="does not lie over"):
        sensitivity.fitted(mask, Image.new("RGB", (16, 8)))


# ---- drawn pictures ----------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path):
    """Sample table and manifest of drawn pictures."""
    about = raw.draw_benchmark("sbu", tmp_path / "drawn", {"train": "train"}, {"train": 6})
    found = list(sbu.read(Path(about["root"]), "train", name="sbu"))
    table.tables.write(table.table(found), tmp_path / "samples.parquet", table.SCHEMA)
    files.write_json(about, tmp_path / "raw.json")
    return tmp_path, found, about


def test_regions_are_the_visible_pixels_of_the_drawn_things(drawn):
    _, found, about = drawn
    for one in found:
        scene = draw("com", sbu.seed_of(one.images[0]))
        told = sensitivity.regions(one, "sbu", Path(about["root"]))
        assert set(told) == {thing.name for thing in scene.things}
        total = sum(mask.sum() for mask in told.values())
        assert total == (scene.mask > 0).sum()


def test_a_picture_that_is_drawn_otherwise_now_is_refused(drawn):
    _, found, about = drawn
    path = Path(about["root"]) / found[0].images[0]
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    with pytest.raises(VlmscopeError, match="not the picture that is drawn now"):
        sensitivity.regions(found[0], "sbu", Path(about["root"]))


def maps_of(found, about, target):
    """Best neurons that are active just where the thing is, random ones where it is not."""

    def items():
        for one in found:
            told = sensitivity.regions(one, "sbu", Path(about["root"]))
            yield Seen(one.sample, Image.new("RGB", (64, 64)), (SIDE, SIDE), None)
            for name, mask in told.items():
                share = mask.reshape(SIDE, 8, SIDE, 8).mean(axis=(1, 3)).ravel()
                for method, values in (("contribution", share), ("random", 1 - share)):
                    yield Units("act_fn", method, one.sample, name, np.stack([values, values]))
            yield Units("act_fn", "contribution", one.sample, "park", np.ones((2, SIDE * SIDE)))

    grids.write(target, items(), {})


def test_neurons_that_are_active_where_the_thing_is_stand_out(drawn):
    folder, found, about = drawn
    maps_of(found, about, folder / "maps.h5")
    told = sensitivity.from_files(
        str(folder / "maps.h5"),
        raw=str(folder / "raw.json"),
        samples=str(folder / "samples.parquet"),
        settings=SETTINGS,
    )
    assert dict(told.schema) == sensitivity.SENSITIVITY
    assert told.select("method", "k").rows() == [
        (method, k) for method in ("contribution", "random") for k in (1, 2, 9)
    ]
    best, random = told.filter(method="contribution", k=2), told.filter(method="random", k=2)
    nouns = sum(len({thing.name for thing in draw("com", sbu.seed_of(one.images[0])).things}) for one in found)
    assert best.select("n", "nouns", "without_region", "regions").row(0) == (6, nouns, 6, sensitivity.DRAWN)
    assert best["pointing"].item() == 1
    assert random["pointing"].item() < 0.2
    # Enlarging spreads the map over the borders of small things.
    assert best["positive_share"].item() > 0.5 > best["area"].item() > random["positive_share"].item()
    assert best["iou_same_area"].item() > 0.5 > random["iou_same_area"].item()
    # Lists of two neurons say nothing about nine.
    empty = told.filter(k=9)
    assert empty["iou"].is_null().all() and empty["n"].to_list() == [0, 0]
    assert told["paper"].is_null().all()


@pytest.mark.parametrize(("source", "kind"), [("download", "sbu"), ("drawn", "vqav2")])
def test_without_regions_the_table_says_so(drawn, source, kind):
    folder, found, about = drawn
    maps_of(found, about, folder / "maps.h5")
    files.write_json(about | {"source": source}, folder / "raw.json")
    told = sensitivity.from_files(
        str(folder / "maps.h5"),
        raw=str(folder / "raw.json"),
        samples=str(folder / "samples.parquet"),
        settings=SETTINGS | {"kind": kind},
    )
    assert set(told["regions"]) == {sensitivity.NONE}
    assert told["n"].sum() == 0
    assert told.select(pl.col(sensitivity.VALUES).is_null().all()).row(0) == (True,) * len(sensitivity.VALUES)
