"""What the benchmarks have in common: walks, reading and writing of official files.

A benchmark is a module of this folder; the folder is the list of them (house.md 8).
"""

import importlib
import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample, joined_size
from vlmscope.store.files import publish
from vlmscope.world.scene import Scene

Item = TypeVar("Item")
log = logging.getLogger(__name__)

# JPEG without colour subsampling: at quality 95 a drawn picture then comes back almost unchanged.
SAVING = {
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".png": {"format": "PNG"},
    ".tif": {"format": "TIFF"},
}


class Benchmark(Protocol):
    """What every module of this folder offers.

    LABEL    column name in tables
    DOMAIN   short name of the visual domain
    SPLITS   official split names
    """

    LABEL: str
    DOMAIN: str
    SPLITS: tuple[str, ...]

    def read(self, root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
        """Samples in the official order; further options are keyword arguments of the module."""

    def write(self, scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
        """Drawn scenes in the official on-disk format; the files written, tables last."""

    def prompt(self, sample: Sample, style: str) -> str:
        """The question as the model gets it, before the model's own template."""


class Found(NamedTuple):
    """An item whose pictures are there.

    index    running number of the item
    row      the item as the benchmark stores it
    images   references of the pictures that exist
    width, height   pixels of the pictures side by side
    """

    index: int
    row: Any
    images: tuple[str, ...]
    width: int
    height: int


def kinds() -> list[str]:
    """Names of the benchmarks, sorted."""
    here = Path(__file__)
    return sorted(path.stem for path in here.parent.glob("*.py") if path.stem not in ("__init__", here.stem))


def load(kind: str) -> ModuleType:
    """The benchmark module of this name (see `Benchmark`)."""
    if kind not in kinds():
        raise VlmscopeError(
            f"There is no benchmark format {kind!r}.",
            where="vlmscope/datasets",
            instead=f"kind: one of {', '.join(kinds())}",
        )
    return importlib.import_module(f"{__package__}.{kind}")


# --- pictures ---------------------------------------------------------------------------------------------------------


def first_there(root: Path, references: Iterable[str]) -> str | None:
    """The first reference whose file exists; none when all are missing."""
    return next((reference for reference in references if (root / reference).is_file()), None)


def found(
    numbered: Iterable[tuple[int, Item]],
    pictures: Callable[[Item], Sequence[str | None]],
    root: Path,
    *,
    limit: int | None,
    name: str,
) -> Iterator[Found]:
    """The items of which at least one picture is there, at most `limit` of them.

    pictures   references of an item, None for each missing file
    """
    # gone counts files, skipped counts items: a recording can lose a frame and stay.
    kept = skipped = gone = 0
    for index, row in numbered:
        if limit is not None and kept >= limit:
            break
        there = pictures(row)
        images = tuple(reference for reference in there if reference is not None)
        gone += len(there) - len(images)
        skipped += not images
        if images:
            kept += 1
            yield Found(index, row, images, *joined_size(images, root))
    report(name, root, kept, skipped, gone)


def report(name: str, root: Path, kept: int, skipped: int, gone: int) -> None:
    """Say how many pictures are missing; stop when none is there at all."""
    if skipped and not kept:
        raise VlmscopeError(
            f"Of {skipped} items of {name} no picture is there.",
            where=str(root),
            instead="unpack the picture archives of the benchmark in this folder",
        )
    if gone:
        log.warning("%s: %d pictures are missing below %s; %d items were left out", name, gone, root, skipped)


# --- samples ----------------------------------------------------------------------------------------------------------


def check_split(split: str, known: Collection[str], name: str) -> None:
    """Refuse a split that the benchmark does not have."""
    if split not in known:
        raise VlmscopeError(
            f"{name} has no split {split!r}.", where=f"datasets.{name}.splits", instead=f"one of {', '.join(known)}"
        )


def sample(
    item: Found,
    *,
    name: str,
    split: str,
    question: str,
    answer: Any,
    choices: Sequence[str] = (),
    group: str | None = None,
) -> Sample:
    """One row of the sample table.

    answer   the official answer structure, stored as JSON text
    group    what is evaluated together; by default the sample itself
    """
    label = f"{name}-{split}-{item.index}"
    return Sample(
        sample=label,
        dataset=name,
        split=split,
        index=item.index,
        group=label if group is None else group,
        images=item.images,
        width=item.width,
        height=item.height,
        question=question,
        choices=tuple(choices),
        answer=json.dumps(answer, ensure_ascii=False),
    )


def styled(sample: Sample, style: str, full: str) -> str:
    """The simple prompt (question alone) or the benchmark's full prompt (mmneuron.md 5.7)."""
    if style == "simple":
        return f"<image>\n{sample.question}"
    if style == "full":
        return f"<image>\n{full}"
    raise VlmscopeError(f"There is no prompt style {style!r}.", where="captures: prompt", instead="simple or full")


def short_answer(sample: Sample) -> str:
    """The full prompt of the benchmarks with one-word answers (RS-VQA, VQAv2, DocVQA)."""
    return f"Question: {sample.question}\nAnswer the question using a single word or phrase."


# --- official files ---------------------------------------------------------------------------------------------------


def expected(path: Path, source: str) -> VlmscopeError:
    """The error for a file that is not there."""
    return _refusal(path, "is not there.", f"put it in this place; it comes from {source}")


def damaged(path: Path, problem: object, source: str) -> VlmscopeError:
    """The error for a file that is cut or of another format."""
    return _refusal(path, f"is damaged or cut: {problem}", f"fetch it again; it comes from {source}")


def _refusal(path: Path, problem: str, remedy: str) -> VlmscopeError:
    """The error for an official file; those of the embedded world can be drawn anew, whatever the remedy otherwise."""
    manifests = (folder.parent / "raw.json" for folder in path.parents if folder.name == "drawn")
    drawn = next((one for one in manifests if one.is_file()), None)
    instead = f"draw the dataset anew: snakemake {drawn} --force" if drawn else remedy
    return VlmscopeError(f"The file {path.name} {problem}", where=str(path), instead=instead)


def read_json(path: Path, source: str, keep: Callable[[dict], Any] | None = None) -> Any:
    """The content of a JSON file.

    keep   what to make of every object while it is parsed; lets large files be thinned on the way
    """
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle, object_hook=keep)
    except FileNotFoundError:
        raise expected(path, source) from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, error, source) from error


def entries(path: Path, key: str, source: str, keep: Callable[[dict], Any] | None = None) -> list:
    """The list under one key of a JSON file."""
    content = read_json(path, source, keep)
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise damaged(path, f"there is no list {key!r}", source)
    return content[key]


def need(item: Any, keys: Iterable[str], path: Path, source: str) -> None:
    """Refuse an item of a JSON list that lacks a field."""
    lacking = [key for key in keys if not isinstance(item, dict) or key not in item]
    if lacking:
        raise damaged(path, f"an entry lacks {', '.join(lacking)}: {str(item)[:120]}", source)


def read_table(path: Path, columns: Sequence[str], source: str, optional: Sequence[str] = ()) -> pl.DataFrame:
    """The named columns of a parquet or CSV file; CSV cells are texts.

    optional   columns that are filled with nulls when the file does not have them
    """
    try:
        # Only the columns asked for are read: pages of documents lie in the same tables as their questions.
        scan = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path, infer_schema=False)
        there = scan.collect_schema().names()
        lacking = [column for column in columns if column not in there]
        if not lacking:
            extra = [pl.lit(None, pl.String).alias(one) for one in optional if one not in there]
            return scan.with_columns(extra).select(*columns, *optional).collect()
    except FileNotFoundError:
        raise expected(path, source) from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(path, str(error).splitlines()[0], source) from error
    raise damaged(path, f"the columns {', '.join(lacking)} are missing (there are: {', '.join(there)})", source)


def write_json(value: Any, path: Path) -> Path:
    """Write compact JSON, keys in the order given."""
    with publish(path) as part:
        part.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8", newline="\n")
    return path


def write_table(table: pl.DataFrame, path: Path) -> Path:
    """Write parquet or CSV, by the ending of the name."""
    with publish(path) as part:
        table.write_parquet(part) if path.suffix == ".parquet" else table.write_csv(part, line_terminator="\n")
    return path


def write_picture(pixels: np.ndarray, path: Path) -> Path:
    """Write uint8 [height, width, 3] in the format that the ending of the name says."""
    with publish(path) as part:
        Image.fromarray(pixels).save(part, **SAVING[path.suffix])
    return path


def check_scenes(scenes: Sequence[Scene], root: Path) -> None:
    """Refuse scenes whose pictures would overwrite each other: file names are made of the seeds."""
    if len({scene.seed for scene in scenes}) < len(scenes):
        raise VlmscopeError(
            "Two scenes have the same seed.", where=str(root), instead="scenes of one domain, each seed once"
        )
