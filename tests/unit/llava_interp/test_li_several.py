"""Two objects of a picture, one taken away: which pairs count, and whether the other one survives."""

import json
from dataclasses import replace

import polars as pl
import pytest

from vlmscope.config import default, plain
from vlmscope.llava_interp.ablation import several, several_tables
from vlmscope.llava_interp.ablation.several import Pair
from vlmscope.llava_interp.asking import experiments, geometry, mean, selection
from vlmscope.llava_interp.asking.geometry import View
from vlmscope.llava_interp.asking.selection import Filter, Target
from vlmscope.samples import SCHEMA, Sample, table
from vlmscope.store import tables

TOLD = {"answers": "strict", "bootstrap": 100, "seed": 1}
VIEW, LIMITS = View(80, 8), Filter(4, 50, 1000)


def sample(*objects):
    told = {
        "image_id": 5,
        "objects": [
            {"id": n, "class": name, "area": area, "crowd": crowd, "bbox": [x, 0, 10, 10]}
            | {"segmentation": [[x, 0, x + 10, 0, x + 10, 10, x, 10]]}
            for n, (name, x, area, crowd) in enumerate(objects)
        ],
    }
    return Sample("s-0", "s", "train", 0, "s-0", ("a.png",), 80, 80, "", (), json.dumps(told))


def test_objects_count_that_are_alone_of_their_class_and_of_fitting_size():
    one = sample(("cat", 0, 100, False), ("dog", 20, 100, False), ("cat", 40, 100, False), ("cup", 60, 40, False))
    assert [found.name for found in several.fitting(one, LIMITS, VIEW, "aligned")] == ["dog"]
    one = sample(("cat", 0, 100, False), ("dog", 20, 100, True), ("cup", 60, 999, False))
    found = several.fitting(one, LIMITS, VIEW, "aligned")
    assert [(each.name, each.ann_id, each.image_id) for each in found] == [("cat", 0, 5), ("cup", 2, 5)]
    assert found[0].patches == (0,) and several.fitting(one, Filter(2, 50, 1000), VIEW, "aligned") == []


@pytest.mark.parametrize(("x", "share"), [(0, 0.0), (15, 0.5), (40, 1.0), (95, 0.5), (110, 0.0)])
def test_the_area_may_be_that_of_what_is_seen(x, share):
    # The central square goes from 20 to 100.
    one = replace(sample(("cat", x, 100, False)), width=120)
    objects = json.loads(one.answer)["objects"]
    assert geometry.visible(objects[0]["segmentation"], (120, 80)) == pytest.approx(share)
    for most, fits in ((51, 0 < share <= 0.5), (101, share > 0)):
        limits = Filter(4, 40, most, "visible")
        assert (selection.choose(objects, limits, (120, 80)) is not None) == fits
        assert bool(several.fitting(one, limits, VIEW, "aligned")) == fits
    assert selection.choose(objects, replace(limits, area="whole"), (120, 80)) is not None


def target(name, *patches):
    return Target(sample(), 5, 0, name, 100.0, patches)


def test_pairs_are_drawn_by_picture_and_seed():
    found = [target(name, n) for n, name in enumerate(("cat", "dog", "cup"))]
    pairs = {several.drawn(found, seed) for seed in range(60)}
    assert len(pairs) == 6 and all(one.first != one.second for one in pairs)
    assert several.drawn(found, 3) == several.drawn(found, 3)


@pytest.mark.parametrize("buffer", [0, 1, 2])
def test_the_other_object_keeps_its_patches(buffer):
    pair = Pair(target("cat", 9, 10), target("dog", 11, 12))
    found = several.sets(pair, 8, buffer, 0)
    assert set(found["object"]) == set(geometry.grown([9, 10], buffer, 8)) - {11, 12}
    near = {*geometry.grown([9, 10], buffer, 8), *geometry.grown([11, 12], buffer, 8)}
    assert not set(found["matched"]) & near and len(found["matched"]) == min(len(found["object"]), 64 - len(near))


def poll(name, condition, asked, text, prob=0.5, buffer=0):
    buffer = None if condition == "none" else buffer
    same = {"sample": name, "image_id": 1, "ann_id": 1, "class": "cat", "other": "dog"}
    told = {"asked": asked, "condition": condition, "buffer": buffer, "tokens": 3, "indices": [1, 2, 3]}
    return same | told | {"text": text, "prob": prob}


def test_the_table_follows_its_definitions():
    rows = []
    for name, plain_, own, other in (("a", "yes", "no", "yes"), ("b", "yes", "no", "no"), ("c", "no", "no", "no")):
        rows += [poll(name, "none", "ablated", plain_, 0.9), poll(name, "none", "other", "yes", 0.8)]
        rows += [poll(name, "object", "ablated", own, 0.1), poll(name, "object", "other", other, 0.6)]
        rows += [poll(name, "matched", asked, "yes", 0.7) for asked in ("ablated", "other")]
    found = several_tables.table(pl.DataFrame(rows, schema=several_tables.POLLS), TOLD)
    by = {(row["condition"], row["asked"]): row for row in found.iter_rows(named=True)}
    own, other = by["object", "ablated"], by["object", "other"]
    # c was denied from the start: two pairs of three are left.
    assert (own["n"], own["n_pairs"], own["pct_lost"], other["pct_lost"]) == (2, 3, 100, 50)
    assert own["prob_drop"] == pytest.approx(0.8) and other["prob_drop"] == pytest.approx(0.2)
    assert (own["against"], own["difference"], own["mcnemar_p"]) == ("object, other", 50, 1)
    assert (other["against"], other["difference"]) == ("matched, other", 50)
    assert by["matched", "other"]["against"] is None and by["matched", "ablated"]["pct_lost"] == 0


def test_no_pair_makes_an_empty_table():
    assert several_tables.table(pl.DataFrame(schema=several_tables.POLLS), TOLD).is_empty()


def test_what_takes_one_object_away_leaves_the_other(shipped, drawn, tmp_path):
    folder, samples = drawn
    tables.write(table(samples), tmp_path / "samples.parquet", SCHEMA)
    files = {"raw": str(folder / "raw.json"), "samples": str(tmp_path / "samples.parquet"), "batch": 16}
    vector = str(tmp_path / "mean.safetensors")
    mean.write(*mean.vector(shipped, published=(), settings={"folder": "", "most": 12}, **files), target=vector)
    told = plain(default())["llava_interp"] | {"value": "mean"}
    records, funnel = experiments.run(several.from_files, shipped, vector=vector, settings=told, **files)
    assert funnel["pictures"] == 24 >= funnel["with_pair"] == funnel["asked"] >= 6
    found = several_tables.table(records, TOLD)
    lost = {(row["condition"], row["buffer"], row["asked"]): row["pct_lost"] for row in found.iter_rows(named=True)}
    for buffer in (0, 1):
        assert lost["object", buffer, "ablated"] > 40 + lost["object", buffer, "other"]
        assert lost["object", buffer, "other"] < 30 and lost["matched", buffer, "ablated"] < 30
