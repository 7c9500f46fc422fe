"""Tables: parquet for machines, csv for people. Each has a schema, and the writer checks it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from vlmscope.errors import VlmscopeError
from vlmscope.store.files import publish

Schema = Mapping[str, Any]


def write(frame: pl.DataFrame, target: str | Path, schema: Schema) -> None:
    """Write a table whose columns are exactly those of the schema; the suffix chooses parquet or csv."""
    frame = _checked(frame, schema, str(target))
    with publish(target) as part:
        if str(target).endswith(".csv"):
            # An empty text is an empty cell, not a pair of quotes.
            frame.with_columns(cs.string().replace("", None)).write_csv(part, line_terminator="\n")
        else:
            frame.write_parquet(part, compression="zstd", statistics=False)


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
    have, want = dict(frame.schema), dict(schema)
    if list(have) != list(want) or any(have[name] != kind for name, kind in want.items()):
        raise VlmscopeError(
            f"The table has columns {_words(have)}; its schema asks for {_words(want)}.",
            where=where,
            instead="delete it and run snakemake again; if you made it yourself, follow docs/formats.md",
        )
    return frame


def _words(schema: Schema) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in schema.items())
