"""What pictures lose under conditions, each beside its control; shared by tables of this system.

Rows are one answer of one picture under one condition: `sample`, what names the condition, `ok`, `drop` (of the right
token's probability; null where texts are written), `tokens` (how many were touched).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.schemas import DIFFERENCE
from vlmscope.llava_interp.tables import rounded

# McNemar's test is over what was lost.
CONTRAST = DIFFERENCE | {"mcnemar_p": pl.Float64}
#   pct_lost     of the pictures, with Wilson's interval; prob_drop with a bootstrap interval
#   control      the condition it is held against; difference: points lost beyond it, drop_difference: of prob_drop
COLUMNS = {
    "n": pl.Int64,
    "pct_lost": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "prob_drop": pl.Float64,
    "drop_low": pl.Float64,
    "drop_high": pl.Float64,
    "mean_tokens": pl.Float64,
    "control": pl.String,
    **CONTRAST,
    "drop_difference": pl.Float64,
    "drop_difference_low": pl.Float64,
    "drop_difference_high": pl.Float64,
}
Key = tuple[Any, ...]


def judged(records: pl.DataFrame, mode: answers.Mode) -> pl.DataFrame:
    """Records of single tokens with `ok`."""
    found = [
        answers.names(row["text"], row["first"], row["token"], row["right"], mode)
        for row in records.iter_rows(named=True)
    ]
    return records.with_columns(ok=pl.Series(found, dtype=pl.Boolean))


def of_right(records: pl.DataFrame, plain: pl.Expr) -> pl.DataFrame:
    """Judged records of the pictures whose untouched answer is right, with `drop`; the untouched ones are left out."""
    before = records.filter(plain & pl.col("ok")).select("sample", before="right_prob")
    rest = records.filter(~plain).join(before, on="sample", how="inner", maintain_order="left")
    return rest.with_columns(drop=pl.col("before") - pl.col("right_prob"))


def table(
    frame: pl.DataFrame,
    keys: Sequence[str],
    control: Callable[[Key], Key | None],
    told: Mapping[str, Any],
    schema: Mapping[str, Any],
) -> pl.DataFrame:
    """One row per condition, in the order of the records.

    keys      columns that name a condition
    control   the condition that another one is held against; None for none
    told      bootstrap, seed
    schema    of the table; columns of records beyond `COLUMNS` are averaged
    """
    groups = dict(frame.group_by(*keys, maintain_order=True))
    more = [name for name in schema if name in frame.columns and name not in (*COLUMNS, *keys)]
    rows = []
    for key, part in groups.items():
        row = dict(zip(keys, key, strict=True)) | _row(part, told) | {name: part[name].mean() for name in more}
        other = control(key)
        if other in groups:
            row |= {"control": str(other[0])} | _against(part, groups[other], told)
        rows.append(row)
    return rounded.table(rows, schema)


def _row(part: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    n, lost = len(part), int((~part["ok"]).sum())
    low, high = stats.wilson(lost, n)
    row = {"n": n, "pct_lost": 100 * lost / n, "ci_low": 100 * low, "ci_high": 100 * high}
    row |= {"mean_tokens": part["tokens"].mean()}
    if part["drop"].is_null().any():
        return row
    drop = stats.Draws(told["bootstrap"], told["seed"]).mean(part["drop"].to_numpy())
    return row | dict(zip(("prob_drop", "drop_low", "drop_high"), drop, strict=True))


def _against(part: pl.DataFrame, other: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    """The same pictures under both, one by one."""
    both = part.select("sample", "ok", "drop").join(
        other.select("sample", beside="ok", beside_drop="drop"), on="sample", how="inner"
    )
    if both.is_empty():
        return {}
    mine, theirs = (~both[name].to_numpy() for name in ("ok", "beside"))
    row = contrast(mine, theirs, points(mine, theirs), told)
    if both["drop"].is_null().any() or both["beside_drop"].is_null().any():
        return row
    more = stats.Draws(told["bootstrap"], told["seed"]).mean((both["drop"] - both["beside_drop"]).to_numpy())
    names = ("drop_difference", "drop_difference_low", "drop_difference_high")
    return row | dict(zip(names, more, strict=True))


def points(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Points that are lost in one case and not in the other, float64 [picture]; both bool [picture]."""
    return 100 * (mine.astype(np.float64) - theirs)


def contrast(mine: np.ndarray, theirs: np.ndarray, change: np.ndarray, told: Mapping[str, Any]) -> dict[str, Any]:
    """Columns `CONTRAST` of one condition against another, nothing where no picture has both.

    mine, theirs   whether the answer was lost, bool [picture]
    change         what is averaged, float [picture]
    """
    if not len(change):
        return {}
    found = stats.Draws(told["bootstrap"], told["seed"]).mean(change)
    p = stats.mcnemar(int((mine & ~theirs).sum()), int((theirs & ~mine).sum()))
    return dict(zip(CONTRAST, (*found, p), strict=True))


def drops(part: pl.DataFrame, plain: pl.DataFrame) -> dict[str, np.ndarray]:
    """What each picture loses: of whatever token is first each time (prob, as released), and of the class.

    The first compares two tokens, and may be a gain where the answer is lost [differs: llava_interp.md 8 #9].
    """
    names = ("prob", "right_prob", "right_log_prob")
    both = part.select("sample", *names).join(
        plain.select("sample", *names), on="sample", suffix="_plain", maintain_order="left"
    )
    return {name: (both[f"{name}_plain"] - both[name]).to_numpy() for name in names}
