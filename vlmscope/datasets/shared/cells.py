"""Pictures in the cells of parquet tables, as the hub stores them: `table.parquet#row` names one."""

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.store.files import publish

# Rows per row group as the hub writes tables with pictures: one row is read without decoding the whole file.
GROUP = 100
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# What the hub's reader needs to hand out pictures instead of bytes.
FEATURE = {"_type": "Image"}


log = logging.getLogger(__name__)


class Placed(Protocol):
    """A row of a table.

    file    table, below the dataset's folder
    place   row number in it
    """

    @property
    def file(self) -> str:
        """Table."""

    @property
    def place(self) -> int:
        """Row number."""


Row = TypeVar("Row", bound=Placed)


def parts(folder: Path, split: str, source: str) -> list[Path]:
    """All parts of the table of a split, `split-00000-of-00019.parquet` and so on, in their order."""
    paths = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not paths:
        raise base.expected(folder / f"{split}-00000-of-00001.parquet", source)
    total = int(paths[0].stem.rsplit("-", 1)[1])
    if len(paths) != total:
        # Orders are drawn over all rows, and rows counted: with a part missing every index would be another one.
        raise VlmscopeError(
            f"Of {total} parts of the table {len(paths)} are there.",
            where=str(folder),
            instead=f"fetch all {split} parts from {source}",
        )
    return paths


def write(rows: Iterable[dict[str, Any]], schema: pa.Schema, path: Path) -> Path:
    """Rows with pictures as a table of small row groups, one of which is in memory at a time."""
    waiting = iter(rows)
    with publish(path) as part, pq.ParquetWriter(part, schema) as writer:
        while some := list(islice(waiting, GROUP)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))
    return path


def cell(picture: Image.Image, name: str) -> dict[str, Any]:
    """A picture as it stands in a table, without loss."""
    buffer = io.BytesIO()
    picture.save(buffer, **base.SAVING[".png"])
    return {"bytes": buffer.getvalue(), "path": name}


def found(
    numbered: Iterator[tuple[int, Row]],
    root: Path,
    *,
    limit: int | None,
    name: str,
    source: str,
    bare: Callable[[Row], bool] = lambda row: False,
    unique: bool = False,
) -> Iterator[base.Found]:
    """The rows whose picture is there; pictures are looked up in blocks of `limit`, so that files are read in order.

    bare     rows that are taken without a picture
    unique   a picture that was there before, byte by byte, is left out
    """
    # Random access would decode a row group per picture; a block touches each row group once.
    kept = skipped = words = again = 0
    seen: set[str] = set()
    while (limit is None or kept < limit) and (block := list(islice(numbered, limit and limit - kept))):
        shapes = sizes([row for _, row in block if not bare(row)], root, source)
        for index, row in block:
            if bare(row):
                kept, words = kept + 1, words + 1
                yield base.Found(index, row, (), 0, 0)
            elif (shape := shapes[row.file, row.place]) is None:
                skipped += 1
            elif unique and shape.digest in seen:
                again += 1
            else:
                kept += 1
                seen |= {shape.digest} if unique else set()
                yield base.Found(index, row, (f"{row.file}#{row.place}",), shape.width, shape.height)
    if again:
        log.info("%s: %d pictures that were there before are left out", name, again)
    base.report(name, root, kept - words, skipped, skipped)


class Shape(NamedTuple):
    """Pixels of a picture, and a digest of its bytes."""

    width: int
    height: int
    digest: str


def sizes(rows: Sequence[Placed], root: Path, source: str) -> dict[tuple[str, int], Shape | None]:
    """Shapes of pictures, None for a missing one; every row group is decoded at most once."""
    shapes = {}
    for file in sorted({row.file for row in rows}):
        places = {row.place for row in rows if row.file == file}
        try:
            for place, one in cells(root / file, places):
                shapes[file, place] = _size(one, f"{file}#{place}", root, source)
        except (pa.ArrowException, KeyError) as error:
            raise base.damaged(root / file, error, source) from error
    return shapes


def cells(path: Path, places: set[int]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Row number and picture of the rows asked for, one row group in memory at a time."""
    with pq.ParquetFile(path) as table:
        start = 0
        for group in range(table.num_row_groups):
            stop = start + table.metadata.row_group(group).num_rows
            inside = sorted(place for place in places if start <= place < stop)
            if inside:
                column = table.read_row_group(group, columns=["image"])["image"]
                yield from ((place, column[place - start].as_py()) for place in inside)
            start = stop


def _size(one: dict[str, Any] | None, reference: str, root: Path, source: str) -> Shape | None:
    if one is None or not one["bytes"]:
        return None
    try:
        with Image.open(io.BytesIO(one["bytes"])) as picture:
            return Shape(*picture.size, hashlib.blake2b(one["bytes"], digest_size=16).hexdigest())
    except OSError as error:
        raise base.damaged(root / reference, error, source) from error
