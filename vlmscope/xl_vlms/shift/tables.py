"""Tables of concept shift, gathered from all comparisons of one original (xl_vlms.md 7)."""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.stats import Z95
from vlmscope.xl_vlms.shift import files
from vlmscope.xl_vlms.shift.held_out import MEASURES

PUBLISHED = Path(__file__).with_name("published.toml")
# The published numbers are those of this set.
WORD = "dog"
ALL = "all"
X = ("consistency", "magnitude")
Row = dict[str, Any]

# What a reader of the published tables would stumble over.
NOTES = (
    "Percentages of T-Overlap are of the different words of the fine-tuned concept; the published ones are of 15.",
    "A concept to which no common sample belongs has no shift and stays where it is; its values are empty.",
    "shift.csv: shifts from one half of the samples, tried on the other half; the other tables use all samples for "
    "both, as published.",
    "Numbers of concepts are those of this run; published numbers stand beside the same number only.",
)

HEAD = {
    "model": pl.String,
    "finetune": pl.String,
    "token": pl.String,
    "module": pl.String,
    "method": pl.String,
    "k": pl.Int64,
    "seed": pl.Int64,
}


def _floats(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Float64)


def _ints(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Int64)


def _interval(*names: str) -> dict[str, Any]:
    return _floats(*(f"{name}{end}" for name in names for end in ("", "_low", "_high")))


_ARM = {"arm": pl.String, **_ints("n")}
SCHEMAS: dict[str, dict[str, Any]] = {
    "shift": HEAD
    | {"goal": pl.String, **_ARM}
    | _interval(*(f"{name}{end}" for name in MEASURES for end in ("", "_gain", "_lead"))),
    "shift_t_overlap": HEAD
    | _ints("concept", "n", "matched", "orig_count", "shifted_count", "denom")
    | _floats("orig_pct", "shifted_pct")
    | _ints("orig_images", "shifted_images")
    | _floats("orig_cosine", "shifted_cosine", "improved_distance", "normalised_improved_distance")
    | _floats("improved_cosine", "normalised_improved_cosine")
    | _ints("published_orig_count", "published_shifted_count")
    | {"source": pl.String},
    "shift_iterations": HEAD
    | _ints("step", "concept", "n", "matched")
    | _floats("t_overlap", "t_overlap_shifted", "cosine", "cosine_shifted"),
    "shift_alpha": HEAD | _floats("alpha") | _ARM | _interval("t_overlap", "cosine"),
    "shift_keywords": HEAD | _floats("alpha") | _ARM | _interval("keywords"),
    "shift_k": HEAD | _ARM | _interval("t_overlap", "cosine"),
    "shift_layers": HEAD | _ARM | _interval("t_overlap", "cosine"),
    "shift_correlation": HEAD
    | _ints("concept", "n")
    | _floats("consistency", "consistency_mean", "magnitude", "recovery_cos", "published_magnitude")
    | {"source": pl.String},
    "shift_correlation_r": {"model": pl.String, "finetune": pl.String, "token": pl.String, "x": pl.String}
    | _ints("seed", "n")
    | _floats("r", "low", "high", "p", "published_r", "published_p")
    | {"source": pl.String},
}
# Table -> rows of a comparison that it holds as they are.
AS_THEY_ARE = {
    "shift": "held_out",
    "shift_iterations": "iterations",
    "shift_alpha": "alpha",
    "shift_keywords": "keywords",
    "shift_k": "k",
    "shift_layers": "layers",
}


def from_files(paths: Sequence[str]) -> dict[str, tuple[pl.DataFrame, dict[str, Any]]]:
    """Every table with its schema."""
    found, published = [files.read(path) for path in paths], _published()
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    for one in found:
        head = _head(one)
        for table, kind in AS_THEY_ARE.items():
            rows[table] += [head | row for row in one["rows"][kind]]
        beside = published[one["published"]] if one["published"] and one["set"] == WORD else {}
        rows["shift_t_overlap"] += list(_overlaps(one, head, beside, published["source"]))
        rows["shift_correlation"] += list(_points(one, head, beside, published["source"]))
    rows["shift_correlation_r"] = list(_correlations(rows["shift_correlation"], found, published))
    return {name: (_frame(rows[name], schema), schema) for name, schema in SCHEMAS.items()}


def _published() -> dict[str, Any]:
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))


def _frame(rows: Sequence[Row], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=dict(schema))


def _head(one: Mapping[str, Any]) -> Row:
    named = {"model": one["model"], "finetune": one["tuned"], "token": one["set"]}
    return named | {key: one[key] for key in ("module", "method", "k", "seed")}


def _overlaps(one: Mapping[str, Any], head: Row, beside: Mapping[str, Any], source: str) -> Iterator[Row]:
    for place, row in enumerate(one["rows"]["concepts"]):
        told = {f"published_{key}": _at(beside.get(key), place) for key in ("orig_count", "shifted_count")}
        yield head | row | told | {"source": source if told["published_orig_count"] is not None else None}


def _points(one: Mapping[str, Any], head: Row, beside: Mapping[str, Any], source: str) -> Iterator[Row]:
    for place, row in enumerate(one["rows"]["concepts"]):
        known = _at(beside.get("magnitude"), place)
        told = {"recovery_cos": row["normalised_improved_cosine"], "published_magnitude": known}
        yield head | row | told | {"source": None if known is None else source}


def _at(values: Sequence[float] | None, place: int) -> float | None:
    return values[place] if values is not None and place < len(values) else None


# ---- correlation -------------------------------------------------------------------------------------------------


def _correlations(points: Sequence[Row], found: Sequence[Mapping[str, Any]], published: Any) -> Iterator[Row]:
    """Recovery against consistency and magnitude: by fine-tune and set, by fine-tune, and over all."""
    kinds = {one["tuned"]: one["published"] for one in found}
    groups = list(dict.fromkeys((row["finetune"], row["token"]) for row in points))
    tunes = list(dict.fromkeys(tune for tune, _ in groups))
    if len(groups) > len(tunes):
        groups += [(tune, ALL) for tune in tunes]
    if len(tunes) > 1:
        groups.append((ALL, ALL))
    for tune, token in groups:
        own = [row for row in points if tune in (ALL, row["finetune"]) and token in (ALL, row["token"])]
        beside = published.get(kinds.get(tune, ""), {}) if token == WORD else {}
        if tune == ALL and any(kinds.values()):
            beside = published[ALL]
        for x in X:
            told = {"published_r": beside.get("r", {}).get(x), "published_p": beside.get("p", {}).get(x)}
            named = {"model": own[0]["model"], "finetune": tune, "token": token, "x": x, "seed": own[0]["seed"]}
            yield named | _pearson(own, x) | told | {"source": published["source"] if beside else None}


def _pearson(points: Sequence[Row], x: str) -> Row:
    """Pearson's r of the recovery of cosines with x, its p, and Fisher's 95 % interval; empty for fewer than four."""
    from scipy.stats import pearsonr

    pairs = [(row[x], row["recovery_cos"]) for row in points if None not in (row[x], row["recovery_cos"])]
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    if len(values) < 4 or (values.std(axis=0) == 0).any():
        return {"n": len(values)}
    r, p = (float(one) for one in pearsonr(*values.T))
    half = Z95 / math.sqrt(len(values) - 3)
    # A straight line has no width.
    low, high = (math.tanh(math.atanh(r) + step) for step in (-half, half)) if abs(r) < 1 else (r, r)
    return {"n": len(values), "r": r, "low": low, "high": high, "p": p}
