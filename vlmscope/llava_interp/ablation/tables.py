"""How many objects are lost without some visual tokens (llava_interp.md 6, 7), from records alone.

Percentages are of the pictures whose untouched answer is right in a setting.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope import stats
from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.schemas import RECORDS
from vlmscope.llava_interp.tables import losses, published, rounded
from vlmscope.llava_interp.tables.losses import CONTRAST
from vlmscope.store import tables

TABLE = {
    "setting": pl.String,
    "condition": pl.String,
    "k": pl.Int32,
    "buffer": pl.Int32,
    "n": pl.Int64,
    "n_still_correct": pl.Int64,
    "pct_decrease": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "mean_tokens": pl.Float64,
    "control": pl.String,
    **CONTRAST,
    "official_accuracy": pl.Float64,
    "official_prob_drop": pl.Float64,
    "correct_prob_drop": pl.Float64,
    "correct_log_prob_drop": pl.Float64,
    "answer_mode": pl.String,
    "geometry_mode": pl.String,
    "paper": pl.Float64,
    "paper_source": pl.String,
}
SETTINGS = ("generative", "polling", "vqa")
ORDER = ("object", "matched", "register", "register_tower", "random", "gradient", "whole", "grey", "noise")
BUFFERED = ("object", "matched")
KEY = ["condition", "size"]


def from_files(*, ablation: str, vqa: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, synonyms, geometry, bootstrap, seed, family."""
    frames = [tables.read(path, RECORDS) for path in (ablation, vqa)]
    return table(pl.concat(frames), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """One row per setting and condition; `control` is what the difference is measured against."""
    judged_ = judged(records, told["answers"], told["synonyms"])
    rows = [row for setting in SETTINGS for row in _setting(judged_, setting, told)]
    known = published.ABLATION.get(told["family"], {})
    for row in rows:
        size = row["buffer"] if row["condition"] in BUFFERED else row["k"]
        row["paper"] = known.get((row["setting"], row["condition"], size))
        row["paper_source"] = None if row["paper"] is None else published.SOURCE
        row |= {"answer_mode": told["answers"], "geometry_mode": told["geometry"]}
    return rounded.table(rows, TABLE)


def judged(records: pl.DataFrame, mode: answers.Mode, synonyms: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Records with `ok`: whether the answer names the object, affirms it, or is its first token."""
    found = [_judge(row, mode, synonyms) for row in records.iter_rows(named=True)]
    return records.with_columns(ok=pl.Series(found, dtype=pl.Boolean))


def _judge(row: Mapping[str, Any], mode: answers.Mode, synonyms: Mapping[str, Sequence[str]]) -> bool:
    if row["setting"] == "generative":
        return answers.mentions(row["text"], row["class"], mode, synonyms)
    if row["setting"] == "polling":
        return answers.affirms(row["text"], mode)
    return answers.names(row["text"], row["first"], row["token"], row["right"], mode)


def kept(frame: pl.DataFrame, setting: str) -> list[str]:
    """Pictures that count in a setting: the untouched answer is right, and that of descriptions wrong behind noise."""
    told = frame.filter(setting="generative" if setting == "polling" else setting)
    right = set(told.filter(pl.col("condition") == "none", "ok")["sample"])
    if setting != "vqa":
        right -= set(told.filter(pl.col("condition") == "noise", "ok")["sample"])
        # Described under no condition: enough pictures were kept before it.
        right &= set(frame.filter(setting="polling")["sample"])
    if setting == "polling":
        right &= set(frame.filter(pl.col("condition") == "none", "ok", setting="polling")["sample"])
    return sorted(right)


def _setting(frame: pl.DataFrame, setting: str, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of one setting."""
    samples = kept(frame, setting)
    own = frame.filter(setting=setting)
    every = own.filter(condition="none")["sample"].n_unique()
    groups = dict(own.group_by(*KEY, maintain_order=True))
    plain = groups.get(("none", None), own.clear())
    order = {name: place for place, name in enumerate(ORDER)}
    keys = sorted((key for key in groups if key[0] in order), key=lambda key: (order[key[0]], key[1] or 0))
    if setting == "generative":
        # Right without noise and wrong with it by the choice of pictures.
        keys = [key for key in keys if key[0] != "noise"]
    return [_row(setting, key, groups, plain, samples, every, told) for key in keys]


def _row(
    setting: str,
    key: tuple[str, int | None],
    groups: Mapping[tuple[str, int | None], pl.DataFrame],
    plain: pl.DataFrame,
    samples: Sequence[str],
    every: int,
    told: Mapping[str, Any],
) -> dict[str, Any]:
    condition, size = key
    part = _of(groups[key], samples)
    n, lost = len(part), int((~part["ok"]).sum())
    low, high = stats.wilson(lost, n)
    row = {
        "setting": setting,
        "condition": condition,
        "k": None if condition in BUFFERED else size,
        "buffer": size if condition in BUFFERED else None,
        "n": n,
        "n_still_correct": n - lost,
        "pct_decrease": 100 * lost / n if n else None,
        "ci_low": 100 * low,
        "ci_high": 100 * high,
        "mean_tokens": part["tokens"].mean(),
        "official_accuracy": (n - lost) / every if every else None,
    }
    if condition == "object" and ("matched", size) in groups:
        row |= _against(part, _of(groups["matched", size], samples), told)
    return row | (_probabilities(_of(plain, samples), part) if setting == "vqa" else {})


def _of(part: pl.DataFrame, samples: Sequence[str]) -> pl.DataFrame:
    """Rows of these pictures, in their order."""
    order = pl.DataFrame({"sample": samples}, schema={"sample": pl.String})
    return order.join(part, on="sample", how="inner", maintain_order="left")


def _against(own: pl.DataFrame, control: pl.DataFrame, told: Mapping[str, Any]) -> dict[str, Any]:
    """Points that the object's tokens cost beyond as many others, picture by picture."""
    both = own.select("sample", "ok").join(control.select("sample", other="ok"), on="sample", how="inner")
    mine, other = (~both[name].to_numpy() for name in ("ok", "other"))
    return {"control": "matched"} | losses.contrast(mine, other, losses.points(mine, other), told)


def _probabilities(plain: pl.DataFrame, part: pl.DataFrame) -> dict[str, Any]:
    """What the answer loses: as released, of whatever token is first each time; ours, of the class in both cases."""
    means = [float(one.mean()) if len(one) else None for one in losses.drops(part, plain).values()]
    return dict(zip(("official_prob_drop", "correct_prob_drop", "correct_log_prob_drop"), means, strict=True))
