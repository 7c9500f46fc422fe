"""What a page shows of a system: results with their columns, figures and findings, and pages to link to."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import NamedTuple

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.report.finding import Finding, Tables, number

# Rows of a table that the page holds; the file has all.
MOST_ROWS = 50
LONGEST = 60
# Columns of a table for which no headline ones are named.
MOST_COLUMNS = 16


class Result(NamedTuple):
    """One headline result.

    file      name of the table, `*` for any part of it
    title     what it is
    about     how to read it
    columns   headline columns: `name`, or `name:interval` where `interval_low` and `interval_high` belong to it
    figures   names of its figures, the first ending that is there
    finding   what is seen, from the tables beside it
    rows      which rows are shown; all by default
    key       whether it stands among the findings at the top
    """

    file: str
    title: str
    about: str
    columns: str = ""
    figures: tuple[str, ...] = ()
    finding: Callable[[Tables], Finding | None] | None = None
    rows: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    key: bool = False


class Page(NamedTuple):
    """Pages to link to: pattern of their files below a model's folder, what they are, the file to open of a folder."""

    files: str
    title: str
    opens: str = ""


class System(NamedTuple):
    """A section of the page: one of the five systems, or the atlas.

    name, title   of its folder and for people
    paper         where it was published
    asks          its question, in a sentence
    """

    name: str
    title: str
    paper: str
    asks: str
    results: tuple[Result, ...]
    pages: tuple[Page, ...]


class Cell(NamedTuple):
    """Text of a cell, what it is sorted by, and what stands behind the rounding."""

    text: str
    value: str
    full: str


class View(NamedTuple):
    """A table as it is shown: heads with whether they are numbers, rows, and how many the file has."""

    heads: list[tuple[str, bool]]
    rows: list[list[Cell]]
    total: int
    more_columns: int


def untold(name: str, title: str) -> Result:
    """A result that no one told how to read: its table is shown, and nothing is said of it."""
    return Result(name, title[:1].upper() + title[1:], "")


def matching(pattern: str, names: list[str]) -> list[str]:
    """Names that a pattern meets, in order."""
    return [name for name in names if fnmatchcase(name, pattern)]


def view(frame: pl.DataFrame, result: Result, where: str) -> View:
    """Headline columns and first rows of a table; columns without any value are left out."""
    shown = result.rows(frame) if result.rows else frame
    wanted = [part.partition(":") for part in (result.columns.split() or shown.columns[:MOST_COLUMNS])]
    _check(shown, [name for name, *_ in wanted], where)
    kept = [(name, interval) for name, _, interval in wanted if shown[name].null_count() < len(shown)]
    heads = [(name.replace("_", " "), shown[name].dtype.is_numeric()) for name, _ in kept]
    rows = [[_cell(row, *one) for one in kept] for row in shown.head(MOST_ROWS).iter_rows(named=True)]
    used = {name for one, interval in kept for name in (one, f"{interval}_low", f"{interval}_high")}
    return View(heads, rows, len(frame), len(set(shown.columns) - used))


def _check(frame: pl.DataFrame, names: list[str], where: str) -> None:
    if lacking := [name for name in names if name not in frame.columns]:
        raise VlmscopeError(
            f"The table lacks the headline columns {', '.join(lacking)}.",
            where=where,
            instead="make the table again, or name its columns in vlmscope/report",
        )


def _cell(row: dict[str, object], name: str, interval: str) -> Cell:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = "" if value is None else str(value)
        return Cell(text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026", text, text)
    low, high = row.get(f"{interval}_low"), row.get(f"{interval}_high")
    known = isinstance(low, int | float) and isinstance(high, int | float)
    after = f" [{number(low)}, {number(high)}]" if known else ""
    full = f"{value!r}" + (f" [{low!r}, {high!r}]" if known else "")
    return Cell(number(value) + after, f"{value!r}", full)
