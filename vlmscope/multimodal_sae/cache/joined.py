"""Pictures of several datasets in one table, as autoencoders are looked at with (`prepare_cache_dataset`).

The layout is that of `lmms-lab/sae-sample-cache-dataset`: `image`, `source`; bytes stay as they were stored.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope import raw, samples
from vlmscope.datasets import sae_pictures
from vlmscope.datasets.shared import cells
from vlmscope.samples import Sample
from vlmscope.session import progress
from vlmscope.store import files

# Rows of every part, from the first on; pictures alone are counted.
PARTS = {"source": pl.String, "split": pl.String, "first": pl.Int64, "pictures": pl.Int64}
NAME = "/".join(sae_pictures.FILES[sae_pictures.WHOLE]) + "-00000-of-00001.parquet"


def from_files(
    parts: Sequence[Mapping[str, Any]], raws: Sequence[str], tables: Sequence[str], folder: str
) -> tuple[dict[str, Any], pl.DataFrame]:
    """Write the table below a folder; its manifest, and where each part begins in it.

    parts   data, split, share
    """
    found, told, first = [], [], 0
    for part, manifest, table in zip(parts, raws, tables, strict=True):
        every = samples.read(table)
        pictured = [one for one in every[: round(part["share"] * len(every))] if one.images]
        found.append((part["data"], Path(raw.read_manifest(manifest)["root"]), pictured))
        told.append((part["data"], part["split"], first, len(pictured)))
        first += len(pictured)
    path = cells.write(_rows(found, first), sae_pictures.SCHEMA, Path(folder) / NAME)
    about = raw.manifest("sae_pictures", Path(folder), "joined", {NAME: files.digest(path)})
    return about, pl.DataFrame(told, schema=PARTS, orient="row")


def _rows(parts: Sequence[tuple[str, Path, list[Sample]]], total: int) -> Iterator[dict[str, Any]]:
    every = ((name, root, one) for name, root, some in parts for one in some)
    for name, root, one in progress(every, total, "pictures"):
        yield {"image": {"bytes": _bytes(one, root), "path": Path(one.images[0]).name}, "source": name}


def _bytes(one: Sample, root: Path) -> bytes:
    """A picture as it is stored; frames of a recording side by side, without loss."""
    if len(one.images) == 1:
        return samples.content(one.images[0], root)
    buffer = io.BytesIO()
    samples.picture(one, root).save(buffer, format="PNG")
    return buffer.getvalue()
