"""What a table says and how sure that is: a number with its interval beside its controls, read off the data.

A finding never states what was hoped for. Whether a number stands apart from its controls is decided by the intervals
that the table itself holds; where they meet, or where there are none, the page says so.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

# Reads a table that lies beside the one in question, by its file name.
Tables = Callable[[str], pl.DataFrame]
# Of the axis that dots and whiskers are drawn on.
WIDTH = 300.0


class Measure(NamedTuple):
    """One number of a table.

    name        what it is of
    value       the number
    low, high   its 95 % interval; NaN where the table has none
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not (math.isnan(self.low) or math.isnan(self.high))


class Finding(NamedTuple):
    """What is seen in a table.

    says       one or two sentences
    own        the number that matters; None where the sentences stand for themselves
    controls   what it is to be compared with
    unit       of all these numbers
    n          what the number rests on
    expected   where the published work lets one expect it: above or below the controls
    count      where a sentence counts comparisons instead: how many stand apart, of how many
    caveat     what a reader should know before leaning on it
    """

    says: str
    own: Measure | None = None
    controls: tuple[Measure, ...] = ()
    unit: str = ""
    n: str = ""
    expected: str = "above"
    count: tuple[int, int] | None = None
    caveat: str = ""


class Verdict(NamedTuple):
    """How a number stands to its controls: `kind` is clear, open, against or plain; `words` say it."""

    kind: str
    words: str


NOTHING = Measure("no difference", 0.0, 0.0, 0.0)


def verdict(finding: Finding) -> Verdict:
    """Whether the number stands apart from every control, by intervals that do not meet."""
    if finding.count:
        apart, of = finding.count
        return Verdict("clear" if apart == of else "open", f"{apart} of {of} comparisons stand apart")
    if finding.own is None:
        return Verdict("plain", "described, not tested")
    if not finding.own.known:
        return Verdict("open", "no interval")
    if not finding.controls:
        return Verdict("plain", "no control here")
    sides = {one.name: _side(finding.own, one) for one in finding.controls}
    against = [name for name, side in sides.items() if side not in (finding.expected, "level")]
    level = [name for name, side in sides.items() if side == "level"]
    if against:
        return Verdict("against", f"{sides[against[0]]} {_listed(against)}: the other way than expected")
    if level:
        return Verdict("open", f"not told apart from {_listed(level)}")
    return Verdict("clear", f"{finding.expected} {_listed(list(sides))}")


def _side(own: Measure, control: Measure) -> str:
    """above, below, or level where the intervals meet; a control without an interval is a point."""
    low, high = (control.low, control.high) if control.known else (control.value, control.value)
    if own.low > high:
        return "above"
    return "below" if own.high < low else "level"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def sure(finding: Finding) -> str:
    """How sure it is, beside the numbers themselves: what they rest on, and which of them have no interval."""
    parts = [finding.n] if finding.n else []
    every = (finding.own, *finding.controls) if finding.own else ()
    bare = [one.name for one in every if not one.known]
    if len(bare) < len(every):
        parts.append("95 % intervals in brackets")
    if bare:
        parts.append(f"no interval for {_listed(bare)}")
    return "; ".join(parts) + "." if parts else ""


def spelled(measure: Measure, unit: str = "") -> str:
    """`27.1 % [25.5, 28.7]`"""
    after = f" {unit}" if unit else ""
    interval = f" [{number(measure.low)}, {number(measure.high)}]" if measure.known else ""
    return number(measure.value) + after + interval


def number(value: float | None) -> str:
    """Three significant digits, with a real minus sign; empty where there is no number."""
    if value is None or math.isnan(value):
        return ""
    if value == int(value) and abs(value) < 1e6:
        text = f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", "\u2212")


def bars(finding: Finding) -> list[dict[str, Any]]:
    """Dots with whiskers for number and controls, on one axis: places between 0 and `WIDTH`, and where zero is."""
    if finding.own is None:
        return []
    every = (finding.own, *finding.controls)
    ends = [end for one in every for end in (one.value, one.low, one.high) if not math.isnan(end)]
    # Zero belongs to the axis: without it a small difference would look like a large one.
    low, high = min(0.0, *ends), max(0.0, *ends)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(6 + (value - low) / span * (WIDTH - 12), 1)

    return [
        {
            "name": one.name,
            "text": spelled(one, finding.unit),
            "dot": place(one.value),
            "low": place(one.low) if one.known else None,
            "high": place(one.high) if one.known else None,
            "zero": place(0.0),
        }
        for one in every
    ]


# ---- rows of tables ----------------------------------------------------------------------------------------------


def pick(frame: pl.DataFrame, **where: Any) -> dict[str, Any] | None:
    """The first row whose columns have these values; None where there is none."""
    for name, value in where.items():
        frame = frame.filter(pl.col(name) == value)
    return frame.row(0, named=True) if len(frame) else None


def highest(frame: pl.DataFrame, column: str) -> dict[str, Any] | None:
    """The row with the highest value of a column; None where no row has one."""
    known = frame.filter(pl.col(column).is_not_null() & pl.col(column).is_not_nan())
    return known.sort(column, descending=True, maintain_order=True).row(0, named=True) if len(known) else None


def measured(
    row: Mapping[str, Any], name: str, value: str, interval: tuple[str, str] | str = "", factor: float = 1.0
) -> Measure:
    """A number of a row under a name.

    value      column
    interval   columns of its interval, or what stands before `_low` and `_high`
    factor     100 turns shares into percent
    """
    ends = (f"{interval}_low", f"{interval}_high") if isinstance(interval, str) and interval else interval or ()
    values = [math.nan if row[key] is None else factor * row[key] for key in (value, *ends)]
    return Measure(name, *values)


def stand_ins(names: Iterable[str | None], what: str = "This number") -> str:
    """A sentence that names stand-ins among what scored a number or a column; empty where there is none."""
    found = sorted({one for one in names if one and "stand_in" in one})
    return f"{what}: scored by a stand-in for the published model, {_listed(found)}." if found else ""
