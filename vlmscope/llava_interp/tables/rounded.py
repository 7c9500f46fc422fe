"""Rows of a table in its columns, as people read them."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

# Far finer than any interval, and the same on every machine where the last places of a sum differ.
DIGITS = 6
# Chances of a test may be of any size: rounded, small ones would be none.
EXACT = ("p", "mcnemar_p")


def table(rows: Iterable[Mapping[str, Any]] | pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Rows with every column of the schema; numbers rounded, but those of tests."""
    numbers = [name for name, kind in schema.items() if kind == pl.Float64 and name not in EXACT]
    # A loss of less than half a digit would stand there as -0.0; adding zero is optimised away.
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(numbers).round(DIGITS).replace(-0.0, 0.0))
