import json
import random

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope import orders, samples
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError

SOURCE = "https://example.org"


def test_the_folder_is_the_list_of_benchmarks():
    assert {"docvqa", "lingoqa", "pmc_vqa", "rsvqa", "sbu", "vqav2", "karpathy"} <= set(base.kinds())
    assert base.kinds() == sorted(base.kinds()) and "base" not in base.kinds()
    # One benchmark has nothing of the drawn world.
    assert {base.load(kind).DOMAIN for kind in base.kinds()} == {"ad", "med", "rs", "com", "doc", ""}


@pytest.mark.parametrize("kind", ["coco", "base", "__init__", "../base", "", "os"])
def test_an_unknown_format_is_refused(kind):
    with pytest.raises(VlmscopeError, match="no benchmark format") as caught:
        base.load(kind)
    assert "lingoqa" in caught.value.instead


def test_orders_are_those_of_the_generators_of_the_released_loaders():
    assert orders.table_order(10).tolist() == [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]
    assert orders.hub_order(5).tolist() == np.random.default_rng(42).permutation(5).tolist()
    expected = list("abcdef")
    random.Random(4).shuffle(expected)
    assert orders.list_order("abcdef") == expected


def test_shuffling_leaves_its_input_alone():
    items = [3, 1, 2]
    orders.list_order(items)
    assert items == [3, 1, 2]


@pytest.mark.parametrize("order", [orders.table_order, orders.hub_order])
def test_orders_of_nothing_and_one(order):
    assert order(0).tolist() == []
    assert order(1).tolist() == [0]


def test_the_first_item_of_a_picture_stays_with_its_number():
    assert list(orders.first_per(enumerate("abcab"), str)) == [(0, "a"), (1, "b"), (2, "c")]


def pictures(root, sizes):
    for name, shape in sizes.items():
        Image.new("RGB", shape).save(root / name)


def test_found_skips_missing_items_and_adds_widths(tmp_path):
    pictures(tmp_path, {"a.png": (3, 2), "b.png": (4, 2)})
    rows = [["a.png", "b.png"], [None], ["a.png", None]]
    there = list(base.found(enumerate(rows), lambda row: row, tmp_path, limit=None, name="x"))
    assert [(one.index, one.images, one.width, one.height) for one in there] == [
        (0, ("a.png", "b.png"), 7, 2),
        (2, ("a.png",), 3, 2),
    ]


def test_found_does_not_look_beyond_the_limit(tmp_path):
    pictures(tmp_path, {"a.png": (3, 2)})

    def endless():
        yield 0, "a.png"
        yield 1, "a.png"
        raise AssertionError("looked too far")

    assert len(list(base.found(((0, "a.png"), (1, "a.png")), lambda row: [row], tmp_path, limit=1, name="x"))) == 1
    walk = base.found(endless(), lambda row: [row], tmp_path, limit=2, name="x")
    assert [next(walk).index, next(walk).index] == [0, 1]


def test_frames_of_different_heights_are_refused(tmp_path):
    pictures(tmp_path, {"a.png": (3, 2), "b.png": (3, 5)})
    with pytest.raises(VlmscopeError, match="different heights"):
        samples.joined_size(["a.png", "b.png"], tmp_path)


def test_a_json_file_without_its_list_is_refused(tmp_path):
    path = tmp_path / "x.json"
    for content in ([], {}, {"questions": {}}, 3, None):
        path.write_text(json.dumps(content))
        with pytest.raises(VlmscopeError, match="no list 'questions'"):
            base.entries(path, "questions", SOURCE)


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": [1,', b"\xff\xfe\x00", b"[" * 100_000])
def test_json_that_does_not_parse_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(VlmscopeError, match="damaged or cut") as caught:
        base.read_json(path, SOURCE)
    assert caught.value.where == str(path) and SOURCE in caught.value.instead


def test_a_drawn_file_is_drawn_anew_and_not_fetched(tmp_path):
    path = tmp_path / "drawn" / "val" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{")
    with pytest.raises(VlmscopeError) as caught:
        base.read_json(path, SOURCE)
    # A folder of the user's own that happens to have this name has no manifest beside it.
    assert SOURCE in caught.value.instead
    (tmp_path / "raw.json").write_text("{}")
    for damage in (lambda: None, path.unlink):
        damage()
        with pytest.raises(VlmscopeError) as caught:
            base.read_json(path, SOURCE)
        assert caught.value.instead == f"draw the dataset anew: snakemake {tmp_path}/raw.json --force"


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_gives_its_columns_and_fills_optional_ones(tmp_path, ending):
    path = base.write_table(pl.DataFrame({"a": ["1", 'x, "y"\nz'], "b": ["", "é"]}), tmp_path / f"t{ending}")
    table = base.read_table(path, ("a",), SOURCE, optional=("c",))
    assert table.to_dict(as_series=False) == {"a": ["1", 'x, "y"\nz'], "c": [None, None]}
    with pytest.raises(VlmscopeError, match=r"columns q are missing \(there are: a, b\)"):
        base.read_table(path, ("a", "q"), SOURCE)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_missing_or_empty_table_is_named(tmp_path, ending):
    path = tmp_path / f"t{ending}"
    with pytest.raises(VlmscopeError, match="is not there"):
        base.read_table(path, ("a",), SOURCE)
    path.write_bytes(b"")
    with pytest.raises(VlmscopeError, match="damaged or cut"):
        base.read_table(path, ("a",), SOURCE)


def test_a_failed_writer_leaves_the_old_file(tmp_path):
    path = base.write_json({"a": 1}, tmp_path / "x.json")
    with pytest.raises(TypeError):
        base.write_json({"a": object()}, path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_lossless_pictures_keep_every_pixel(tmp_path, ending):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = base.write_picture(pixels, tmp_path / f"x{ending}")
    with Image.open(path) as picture:
        assert (np.asarray(picture) == pixels).all()
    assert samples.size(path.name, tmp_path) == (7, 5)
