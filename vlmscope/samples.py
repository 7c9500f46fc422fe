"""The sample table: one row per question about a picture, the same columns for every benchmark."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.store import tables

SCHEMA = {
    "sample": pl.String,
    "dataset": pl.String,
    "split": pl.String,
    "index": pl.Int64,
    "group": pl.String,
    "images": pl.List(pl.String),
    "width": pl.Int64,
    "height": pl.Int64,
    "question": pl.String,
    "choices": pl.List(pl.String),
    "answer": pl.String,
}


@dataclass(frozen=True)
class Sample:
    """One row of the sample table.

    sample    unique name, `<dataset>-<split>-<index>`
    index     the benchmark's own running number (mmneuron.md 5)
    group     what belongs together in evaluation: a question id (LingoQA), else the sample itself
    images    references below the dataset's folder: `path`, or `table.parquet#row` for embedded pictures;
              several references are frames that are joined left to right
    width, height   pixels of the (joined) picture
    answer    the official answer structure as JSON text
    """

    sample: str
    dataset: str
    split: str
    index: int
    group: str
    images: tuple[str, ...]
    width: int
    height: int
    question: str
    choices: tuple[str, ...]
    answer: str


def table(samples: Iterable[Sample]) -> pl.DataFrame:
    """Samples as a table with exactly the columns of `SCHEMA`, order kept."""
    rows = [
        {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(one).items()}
        for one in samples
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def rows(frame: pl.DataFrame) -> list[Sample]:
    """The samples of a table, order kept."""
    return [
        Sample(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
        for row in frame.iter_rows(named=True)
    ]


def content(reference: str, root: Path) -> bytes:
    """The bytes behind one image reference, as they are stored."""
    name, _, row = reference.partition("#")
    if not row:
        return (root / name).read_bytes()
    # Lazily: the row alone is read, not the gigabytes of pictures around it.
    cell = pl.scan_parquet(root / name).slice(int(row), 1).select(pl.col("image")).collect().item()
    return cell["bytes"]


def open_one(reference: str, root: Path) -> Image.Image:
    """The RGB picture behind one image reference."""
    path = root / reference.partition("#")[0]
    try:
        with Image.open(io.BytesIO(content(reference, root))) as picture:
            return picture.convert("RGB")
    except FileNotFoundError as error:
        raise VlmscopeError(
            f"The picture {reference} is not there.",
            where=str(path),
            instead="put the file in place, or leave it out: snakemake --forcerun data_samples",
        ) from error
    except (OSError, pl.exceptions.PolarsError, TypeError, KeyError, ValueError) as error:
        raise VlmscopeError(
            f"The picture {reference} cannot be read: {error}", where=str(path), instead="replace the damaged file"
        ) from error


def join(pictures: list[Image.Image]) -> Image.Image:
    """Frames of equal height side by side (LingoQA, mmneuron.md 5.1); one picture is handed back as it is."""
    if len(pictures) == 1:
        return pictures[0]
    heights = {picture.height for picture in pictures}
    if len(heights) > 1:
        raise VlmscopeError(
            f"Frames of different heights {sorted(heights)} cannot be joined.", instead="frames of one recording"
        )
    joined = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width
    return joined


def picture(sample: Sample, root: Path) -> Image.Image:
    """The RGB picture of a sample, frames joined."""
    return join([open_one(reference, root) for reference in sample.images])


def read(path: str | Path) -> list[Sample]:
    """The samples of a table on disk, order kept."""
    return rows(tables.read(path, SCHEMA))


def size(reference: str, root: Path) -> tuple[int, int]:
    """Width and height in pixels, read from the header alone."""
    try:
        # Opening parses the header; pixels would be decoded on first use.
        with Image.open(root / reference) as picture:
            return picture.size
    except OSError as error:
        raise VlmscopeError(
            f"The picture {reference} cannot be read: {error}",
            where=str(root / reference),
            instead="fetch this file again; it is damaged",
        ) from error


def joined_size(references: Sequence[str], root: Path) -> tuple[int, int]:
    """Width and height in pixels of the pictures side by side."""
    sizes = [size(reference, root) for reference in references]
    if len({height for _, height in sizes}) > 1:
        raise VlmscopeError(
            f"Frames of different heights cannot stand side by side: {sizes}.",
            where=str(root / references[0]),
            instead="frames of one recording, or the option frames: middle",
        )
    return sum(width for width, _ in sizes), sizes[0][1]
