import io
import pickle
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope import samples
from vlmscope.errors import VlmscopeError

ONE = samples.Sample(
    sample="x-val-3",
    dataset="x",
    split="val",
    index=3,
    group="x-val-3",
    images=("a.png",),
    width=4,
    height=2,
    question="what?\n",
    choices=(" A:é ", "B"),
    answer='{"answer": "no"}',
)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_rows_survive_the_table_and_its_file(tmp_path):
    several = [ONE, replace(ONE, sample="x-val-4", images=("a.png", "b.png"), choices=())]
    table = samples.table(several)
    assert table.schema == pl.Schema(samples.SCHEMA)
    table.write_parquet(tmp_path / "s.parquet")
    assert samples.rows(pl.read_parquet(tmp_path / "s.parquet")) == several


def test_a_table_of_nothing_has_all_columns():
    table = samples.table([])
    assert table.schema == pl.Schema(samples.SCHEMA)
    assert samples.rows(table) == []


def test_order_is_kept():
    several = [replace(ONE, sample=str(k), index=k) for k in (5, 1, 3)]
    assert samples.rows(samples.table(iter(several))) == several


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK"])
def test_every_picture_becomes_rgb(tmp_path, mode):
    Image.new("RGB", (4, 2), (255, 255, 255)).convert(mode).save(tmp_path / "a.tif")
    picture = samples.open_one("a.tif", tmp_path)
    assert (picture.mode, picture.size) == ("RGB", (4, 2))
    assert (np.asarray(picture) == 255).all()


def test_embedded_pictures_are_found_by_row(tmp_path):
    pixels = [noise(3, 5, seed) for seed in range(4)]
    cells = [{"bytes": png(one), "path": None} for one in pixels]
    pl.DataFrame({"image": cells, "other": range(4)}).write_parquet(tmp_path / "t.parquet", row_group_size=2)
    for row, one in enumerate(pixels):
        assert (np.asarray(samples.open_one(f"t.parquet#{row}", tmp_path)) == one).all()


@pytest.mark.parametrize(
    "reference", ["t.parquet#9", "t.parquet#x", "t.parquet#1", "bad.png", "cut.png", "bad.parquet#0"]
)
def test_what_cannot_be_read_is_named(tmp_path, reference):
    cells = [{"bytes": png(noise(2, 2)), "path": None}, {"bytes": None, "path": "x.png"}]
    pl.DataFrame({"image": cells}).write_parquet(tmp_path / "t.parquet")
    for bad in ("bad.png", "bad.parquet"):
        (tmp_path / bad).write_bytes(b"nothing")
    (tmp_path / "cut.png").write_bytes(png(noise(20, 20))[:300])
    with pytest.raises(VlmscopeError, match="cannot be read") as caught:
        samples.open_one(reference, tmp_path)
    assert reference in caught.value.what and str(tmp_path) in caught.value.where


@pytest.mark.parametrize("reference", ["a.png", "t.parquet#0"])
def test_a_missing_picture_is_named(tmp_path, reference):
    with pytest.raises(VlmscopeError, match="is not there") as caught:
        samples.open_one(reference, tmp_path)
    assert pickle.loads(pickle.dumps(caught.value)).where == caught.value.where


def test_frames_are_joined_from_left_to_right(tmp_path):
    pixels = [noise(2, 3, 0), noise(2, 5, 1)]
    for name, one in zip("ab", pixels, strict=True):
        Image.fromarray(one).save(tmp_path / f"{name}.png")
    joined = samples.picture(replace(ONE, images=("a.png", "b.png")), tmp_path)
    assert (np.asarray(joined) == np.concatenate(pixels, axis=1)).all()


def test_one_picture_is_handed_back_as_it_is():
    picture = Image.new("RGB", (2, 2))
    assert samples.join([picture]) is picture


def test_frames_of_different_heights_are_refused():
    with pytest.raises(VlmscopeError, match="different heights"):
        samples.join([Image.new("RGB", (2, 2)), Image.new("RGB", (2, 3))])
