"""DocVQA, documents: scanned pages embedded in parquet tables, several accepted answers (mmneuron.md 5.5)."""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.store.files import publish
from vlmscope.world.scene import Scene

LABEL = "DocVQA"
DOMAIN = "doc"
SPLITS = ("train", "val")
SOURCE = "https://huggingface.co/datasets/pixparse/docvqa-single-page-questions"
FILES = {"train": "train", "val": "validation"}
# Rows per row group as the hub writes tables with pictures: one row is read without decoding the whole file.
GROUP = 100

PAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
METADATA = pa.struct(
    [
        ("ucsf_document_id", pa.string()),
        ("ucsf_document_page_no", pa.string()),
        ("doc_id", pa.int64()),
        ("image", pa.string()),
        ("data_split", pa.string()),
    ]
)
# What the hub's reader needs to hand out pictures instead of bytes.
FEATURES = {
    "question_id": {"dtype": "int64", "_type": "Value"},
    "image": {"_type": "Image"},
    "question": {"dtype": "string", "_type": "Value"},
    "answers": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
    "other_metadata": {field.name: {"dtype": str(field.type), "_type": "Value"} for field in METADATA},
}
SCHEMA = pa.schema(
    [
        ("question_id", pa.int64()),
        ("image", PAGE),
        ("question", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("other_metadata", METADATA),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


class Row(NamedTuple):
    """A question without its page.

    place   row number in its file
    page    what names the page
    """

    file: str
    place: int
    page: str
    question: str
    answers: list[str]


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """One question per page in the official order; the answer is the list of accepted answers."""
    base.check_split(split, SPLITS, name)
    # Questions alone are held in memory; pages (12.4 GB) are looked at when their turn comes.
    rows = [row for path in _paths(root, split) for row in _rows(path, root)]
    numbered = ((rank, rows[k]) for rank, k in enumerate(orders.hub_order(len(rows)).tolist()))
    firsts = orders.first_per(numbered, lambda row: row.page)
    for item in _found(firsts, root, limit=limit, name=name):
        yield base.sample(item, name=name, split=split, question=item.row.question, answer=item.row.answers)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as pages embedded without loss, one row per question."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    rows = []
    for scene in scenes:
        page = _page(scene, split)
        rows += [
            {**page, "question_id": scene.seed * 1000 + k, "question": asked.text, "answers": [asked.answer]}
            for k, asked in enumerate(scene.questions)
        ]
    # A page is repeated for each of its questions, as in the original.
    path = root / "data" / f"{FILES[split]}-00000-of-00001.parquet"
    with publish(path) as part:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), part, row_group_size=GROUP)
    return [path]


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question with the request for one word or phrase."""
    return base.styled(sample, style, base.short_answer(sample))


def _page(scene: Scene, split: str) -> dict[str, Any]:
    """The columns that all questions of a page share."""
    buffer = io.BytesIO()
    Image.fromarray(scene.image).save(buffer, **base.SAVING[".png"])
    name = f"documents/{scene.seed:08d}_1.png"
    metadata = {
        "ucsf_document_id": f"{scene.seed:08d}",
        "ucsf_document_page_no": "1",
        "doc_id": scene.seed,
        "image": name,
        "data_split": split,
    }
    return {"image": {"bytes": buffer.getvalue(), "path": Path(name).name}, "other_metadata": metadata}


def _paths(root: Path, split: str) -> list[Path]:
    paths = sorted((root / "data").glob(f"{FILES[split]}-*-of-*.parquet"))
    if not paths:
        raise base.expected(root / "data" / f"{FILES[split]}-00000-of-00001.parquet", SOURCE)
    total = int(paths[0].stem.rsplit("-", 1)[1])
    if len(paths) != total:
        # The order is drawn over all rows: with a part missing every index would be another one.
        raise VlmscopeError(
            f"Of {total} parts of the table {len(paths)} are there.",
            where=str(paths[0].parent),
            instead=f"fetch all {FILES[split]} parts from {SOURCE}",
        )
    return paths


def _rows(path: Path, root: Path) -> Iterator[Row]:
    """The rows of one file without their pictures."""
    table = base.read_table(path, ("question", "answers", "other_metadata"), SOURCE)
    try:
        slim = table.select("question", "answers", page=pl.col("other_metadata").struct.field("image"))
    except pl.exceptions.PolarsError as error:
        raise base.damaged(path, f"other_metadata has no field image: {error}", SOURCE) from error
    file = path.relative_to(root).as_posix()
    for place, (question, answers, page) in enumerate(slim.iter_rows()):
        yield Row(file, place, page, question, answers)


def _found(numbered: Iterator[tuple[int, Row]], root: Path, *, limit: int | None, name: str) -> Iterator[base.Found]:
    """The items whose page is there; pages are looked up in blocks of `limit`, so that files are read in order."""
    # Random access would decode a row group per page; a block touches each row group once.
    kept = skipped = 0
    while (limit is None or kept < limit) and (block := list(islice(numbered, limit and limit - kept))):
        sizes = _sizes([row for _, row in block], root)
        for index, row in block:
            if (shape := sizes[row.file, row.place]) is None:
                skipped += 1
                continue
            kept += 1
            yield base.Found(index, row, (f"{row.file}#{row.place}",), *shape)
    base.report(name, root, kept, skipped, skipped)


def _sizes(rows: Sequence[Row], root: Path) -> dict[tuple[str, int], tuple[int, int] | None]:
    """Width and height in pixels of pages, None for a missing one; every row group is decoded at most once."""
    sizes = {}
    for file in sorted({row.file for row in rows}):
        places = {row.place for row in rows if row.file == file}
        try:
            for place, cell in _cells(root / file, places):
                sizes[file, place] = _size(cell, f"{file}#{place}", root)
        except (pa.ArrowException, KeyError) as error:
            raise base.damaged(root / file, error, SOURCE) from error
    return sizes


def _cells(path: Path, places: set[int]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Row number and picture cell of the rows asked for, one row group in memory at a time."""
    with pq.ParquetFile(path) as table:
        start = 0
        for group in range(table.num_row_groups):
            stop = start + table.metadata.row_group(group).num_rows
            inside = sorted(place for place in places if start <= place < stop)
            if inside:
                column = table.read_row_group(group, columns=["image"])["image"]
                yield from ((place, column[place - start].as_py()) for place in inside)
            start = stop


def _size(cell: dict[str, Any] | None, reference: str, root: Path) -> tuple[int, int] | None:
    if cell is None or not cell["bytes"]:
        return None
    try:
        with Image.open(io.BytesIO(cell["bytes"])) as picture:
            return picture.size
    except OSError as error:
        raise base.damaged(root / reference, error, SOURCE) from error
