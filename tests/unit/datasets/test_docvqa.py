import logging

import polars as pl
import pyarrow.parquet as pq
import pytest

from vlmscope import samples
from vlmscope.datasets import docvqa
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw

NAME = "data/validation-00000-of-00001.parquet"


@pytest.fixture
def root(tmp_path):
    docvqa.write([draw("doc", seed) for seed in range(20)], tmp_path, "val")
    return tmp_path


def split_in_two(root):
    whole = pq.read_table(root / NAME)
    (root / NAME).unlink()
    cut = len(whole) // 3
    for k, part in enumerate((whole[:cut], whole[cut:])):
        pq.write_table(part, root / f"data/validation-{k:05d}-of-00002.parquet", row_group_size=7)


def test_parts_and_row_groups_do_not_matter(root):
    whole = list(docvqa.read(root, "val", name="doc"))
    pictures = [samples.picture(one, root).tobytes() for one in whole]
    split_in_two(root)
    parts = list(docvqa.read(root, "val", name="doc"))
    assert [(one.index, one.question, one.answer, one.width) for one in parts] == [
        (one.index, one.question, one.answer, one.width) for one in whole
    ]
    assert {one.images[0].split("#")[0] for one in parts} > {"data/validation-00000-of-00002.parquet"}
    assert [samples.picture(one, root).tobytes() for one in parts] == pictures


def test_a_missing_part_would_change_the_order_and_is_refused(root):
    split_in_two(root)
    (root / "data/validation-00001-of-00002.parquet").unlink()
    with pytest.raises(VlmscopeError, match="Of 2 parts of the table 1 are there"):
        next(docvqa.read(root, "val", name="doc"))


def test_pages_without_bytes_are_left_out_and_the_limit_still_holds(root, caplog):
    table = pl.read_parquet(root / NAME)
    whole = list(docvqa.read(root, "val", name="doc"))
    gone = {one.images[0] for one in whole[:3]}
    places = {int(reference.split("#")[1]) for reference in gone}
    cells = [None if k in places else cell for k, cell in enumerate(table["image"].to_list())]
    schema = table.schema["image"]
    table.with_columns(image=pl.Series(cells, dtype=schema)).write_parquet(root / NAME)
    with caplog.at_level(logging.WARNING):
        assert list(docvqa.read(root, "val", name="doc")) == whole[3:]
    assert "3 items were left out" in caplog.text
    assert list(docvqa.read(root, "val", name="doc", limit=4)) == whole[3:7]


def test_a_damaged_page_is_named(root):
    table = pl.read_parquet(root / NAME)
    cells = [{"bytes": b"no picture", "path": "x.png"}] * len(table)
    table.with_columns(image=pl.Series(cells, dtype=table.schema["image"])).write_parquet(root / NAME)
    with pytest.raises(VlmscopeError, match="damaged or cut"):
        next(docvqa.read(root, "val", name="doc"))


@pytest.mark.parametrize("column", ["question", "answers", "other_metadata", "image"])
def test_a_missing_column_is_named(root, column):
    pl.read_parquet(root / NAME).drop(column).write_parquet(root / NAME)
    with pytest.raises(VlmscopeError, match=column):
        next(docvqa.read(root, "val", name="doc"))


def test_metadata_without_the_page_is_refused(root):
    pl.read_parquet(root / NAME).with_columns(other_metadata=pl.struct(doc_id=1)).write_parquet(root / NAME)
    with pytest.raises(VlmscopeError, match="no field image"):
        next(docvqa.read(root, "val", name="doc"))


def test_the_table_tells_the_hub_reader_which_column_is_a_picture(root):
    metadata = pq.read_schema(root / NAME).metadata[b"huggingface"]
    assert b'"image": {"_type": "Image"}' in metadata
