"""What blocked attention costs (llava_interp.md 6, 7), from records alone.

Relative accuracy is over the pictures whose untouched answer is right: 1 means no effect. The released accuracy is over
all of them, and mixes in what the model does not know [differs: llava_interp.md 8 #10].
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.knockout import windows
from vlmscope.llava_interp.knockout.windows import BESIDE
from vlmscope.llava_interp.schemas import GROUP, KNOCKOUTS, WINDOW
from vlmscope.llava_interp.tables import losses, published, rounded
from vlmscope.llava_interp.tables.losses import CONTRAST
from vlmscope.store import tables

TABLE = {
    **GROUP,
    **WINDOW,
    "n": pl.Int64,
    "relative_accuracy": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "official_accuracy": pl.Float64,
    "official_prob_drop": pl.Float64,
    "correct_prob_drop": pl.Float64,
    "drop_low": pl.Float64,
    "drop_high": pl.Float64,
    "correct_log_prob_drop": pl.Float64,
    "mean_keys": pl.Float64,
    "control": pl.String,
    **CONTRAST,
    "answer_mode": pl.String,
    "geometry_mode": pl.String,
    "paper": pl.Float64,
    "paper_source": pl.String,
}
SWEEP = {"sort": pl.String, **TABLE}
PLACE = ["sort", "source", "target", "window"]


def from_files(*, knockout: str, told: Mapping[str, Any]) -> dict[str, tuple[pl.DataFrame, Any]]:
    """`table`: the published windows; `sweep`: single layers and sliding windows.

    told   answers, geometry, bootstrap, seed, family
    """
    rows = table(tables.read(knockout, KNOCKOUTS), told)
    whole = rows.filter(sort="window").drop("sort")
    return {"table": (whole, TABLE), "sweep": (rows.filter(pl.col("sort") != "window"), SWEEP)}


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per group and window, `SWEEP`."""
    judged = losses.judged(records, told["answers"])
    plain = judged.filter(source="")
    right = plain.filter("ok")
    groups = {
        key: right.select("sample").join(part, on="sample", how="inner", maintain_order="left")
        for key, part in judged.filter(pl.col("source") != "").group_by(*PLACE, maintain_order=True)
    }
    known = published.KNOCKOUT.get(told["family"], {})
    rows = []
    for (sort, source, target, window), part in groups.items():
        control = groups.get((sort, BESIDE.get(source, ""), target, window))
        row = {"sort": sort, "source": source, "target": target, "window": window}
        row |= _row(part, right, len(plain), told) | ({} if control is None else _against(part, control, told))
        row |= {"control": None if control is None else BESIDE[source]}
        row["paper"] = known.get((source, target, window)) if sort == "window" else None
        row["paper_source"] = None if row["paper"] is None else published.SOURCE
        rows.append(row | {"answer_mode": told["answers"], "geometry_mode": told["geometry"]})
    order = {group: place for place, group in enumerate(windows.GROUPS)}
    rows.sort(key=lambda row: order[row["source"], row["target"]])
    return rounded.table(rows, SWEEP)


def _row(part: pl.DataFrame, right: pl.DataFrame, every: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """One group in one window; `every` counts pictures whose untouched answer is wrong too, as released."""
    n, still = len(part), int(part["ok"].sum())
    low, high = stats.wilson(still, n)
    drop = losses.drops(part, right)
    drop_low, drop_high = stats.bootstrap_mean(drop["right_prob"], told["bootstrap"], told["seed"])
    means = {name: float(one.mean()) if n else None for name, one in drop.items()}
    return {
        "layer_first": part["layer_first"].min(),
        "layer_last": part["layer_last"].max(),
        "n": n,
        "relative_accuracy": still / n if n else None,
        "ci_low": low,
        "ci_high": high,
        "official_accuracy": still / every if every else None,
        "official_prob_drop": means["prob"],
        "correct_prob_drop": means["right_prob"],
        "drop_low": drop_low,
        "drop_high": drop_high,
        "correct_log_prob_drop": means["right_log_prob"],
        "mean_keys": part["keys"].mean(),
    }


def _against(part: pl.DataFrame, control: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the object's keys cost the class beyond as many others, picture by picture; McNemar over decisions."""
    both = part.select("sample", "ok", "right_prob").join(
        control.select("sample", other="ok", other_prob="right_prob"), on="sample", how="inner"
    )
    change = (both["other_prob"] - both["right_prob"]).to_numpy()
    mine, other = (~both[name].to_numpy() for name in ("ok", "other"))
    return losses.contrast(mine, other, change, told)
