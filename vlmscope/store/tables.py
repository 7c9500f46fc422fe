"""Tables: parquet for machines, csv for people. Each has a schema, and the writer checks it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from vlmscope.errors import VlmscopeError
from vlmscope.store.files import publish

Schema = Mapping[str, Any]
# Columns that a message names before it counts.
MOST_NAMED = 5


def write(frame: pl.DataFrame, target: str | Path, schema: Schema) -> None:
    """Write a table whose columns are exactly those of the schema; the suffix chooses parquet or csv."""
    frame = _checked(frame, schema, str(target))
    with publish(target) as part:
        if str(target).endswith(".csv"):
            # An empty text is an empty cell, not a pair of quotes.
            frame.with_columns(cs.string().replace("", None)).write_csv(part, line_terminator="\n")
        else:
            frame.write_parquet(part, compression="zstd", statistics=False)


def write_all(frames: Mapping[str, tuple[pl.DataFrame, Schema]], targets: Mapping[str, str]) -> None:
    """Write several tables with their schemas, each to the target of its name."""
    for name, (frame, schema) in frames.items():
        write(frame, targets[name], schema)


def write_each(frames: Iterable[pl.DataFrame], targets: Sequence[str], schema: Schema) -> None:
    """Write tables of one schema to their targets, each as soon as it is made."""
    for frame, target in zip(frames, targets, strict=True):
        write(frame, target, schema)


def read(path: str | Path, schema: Schema) -> pl.DataFrame:
    """Read a table and refuse one that does not match its schema."""
    try:
        frame = pl.read_csv(path, schema=dict(schema)) if str(path).endswith(".csv") else pl.read_parquet(path)
    except FileNotFoundError:
        raise VlmscopeError(
            "A table is not there.", where=str(path), instead="make it: snakemake " + str(path)
        ) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise VlmscopeError(
            f"The table cannot be read: {error}", where=str(path), instead="delete it and run snakemake again"
        ) from None
    return _checked(frame, schema, str(path))


def _checked(frame: pl.DataFrame, schema: Schema, where: str) -> pl.DataFrame:
    if problems := _differences(dict(frame.schema), dict(schema)):
        raise VlmscopeError(
            "The table does not match its schema: " + "; ".join(problems) + ".",
            where=where,
            instead="delete it and run snakemake again; if you made it yourself, follow docs/formats.md",
        )
    return frame


def _differences(have: dict[str, Any], want: dict[str, Any]) -> list[str]:
    """What sets the columns of a table apart from those of its schema; tables may have dozens that agree."""
    lacking = [f"{name} ({kind})" for name, kind in want.items() if name not in have]
    unknown = [name for name in have if name not in want]
    other = [f"{name} is {have[name]} instead of {kind}" for name, kind in want.items() if have.get(name, kind) != kind]
    found = [f"it lacks {_few(lacking)}"] if lacking else []
    found += [f"it has unknown columns {_few(unknown)}"] if unknown else []
    found += [_few(other)] if other else []
    if not found and list(have) != list(want):
        found = [f"its columns should stand in the order {', '.join(want)}"]
    return found


def _few(names: list[str]) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
