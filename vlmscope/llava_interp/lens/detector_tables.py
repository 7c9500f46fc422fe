"""How well scores tell objects that are there from others, from records alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from vlmscope import stats
from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.schemas import DIFFERENCE
from vlmscope.llava_interp.tables import rounded
from vlmscope.store import tables

# One class of one picture.
#   present             whether an object of it is there
#   text, prob          the token that answers the question after it; probability of a positive answer
#   scores, elsewhere   by layer, the class's largest probability at any patch; the same in another picture
DETECTED = {
    "sample": pl.String,
    "class": pl.String,
    "present": pl.Boolean,
    "text": pl.String,
    "prob": pl.Float64,
    "scores": pl.List(pl.Float32),
    "elsewhere": pl.List(pl.Float32),
}
#   among      all; affirmed: questions that the model affirms, where absent objects are invented ones
#   score      lens: largest of the upper half of the layers; layer_l; answer: the model's own; elsewhere: the control
TABLE = {
    "among": pl.String,
    "score": pl.String,
    "n_present": pl.Int64,
    "n_absent": pl.Int64,
    "auc": pl.Float64,
    "auc_low": pl.Float64,
    "auc_high": pl.Float64,
    "control": pl.String,
    **DIFFERENCE,
    "answer_mode": pl.String,
}
CONTROL = "elsewhere"


def from_files(*, detector: str, told: Mapping[str, Any]) -> pl.DataFrame:
    """The table, `TABLE`; told   answers, bootstrap, seed."""
    return table(tables.read(detector, DETECTED), told)


def table(records: pl.DataFrame, told: Mapping[str, Any]) -> pl.DataFrame:
    """Area under the curve of every score, resampled by pictures; null where either kind is missing."""
    affirmed = pl.Series([answers.affirms(text, told["answers"]) for text in records["text"]], dtype=pl.Boolean)
    rows = []
    for among, part in (("all", records), ("affirmed", records.filter(affirmed))):
        rows += _rows(among, part, told) if len(part) else []
    found = rounded.table(rows, TABLE).with_columns(answer_mode=pl.lit(told["answers"]))
    return found.with_columns(cs.float().fill_nan(None))


def _rows(among: str, part: pl.DataFrame, told: Mapping[str, Any]) -> list[dict[str, Any]]:
    present, values = part["present"].to_numpy(), _scores(part)
    pictures = np.unique(part["sample"].to_numpy(), return_inverse=True)[1]
    weights = stats.Draws(told["bootstrap"], told["seed"]).weights(int(pictures.max()) + 1)[:, pictures]
    areas = {name: auc(one, present, weights) for name, one in values.items()}
    rows = []
    for name, own in areas.items():
        low, high = stats.interval(own[1:])
        row = {"among": among, "score": name, "n_present": int(present.sum()), "n_absent": int((~present).sum())}
        row |= {"auc": own[0], "auc_low": low, "auc_high": high}
        if name != CONTROL:
            change = own - areas[CONTROL]
            low, high = stats.interval(change[1:])
            row |= {"control": CONTROL, "difference": change[0], "difference_low": low, "difference_high": high}
        rows.append(row)
    return rows


def _scores(part: pl.DataFrame) -> dict[str, np.ndarray]:
    """Score -> values [row]."""
    layers, other = (np.array(part[name].to_list(), dtype=np.float64) for name in ("scores", "elsewhere"))
    upper = layers.shape[1] // 2
    found = {"lens": layers[:, upper:].max(1), "answer": part["prob"].to_numpy(), CONTROL: other[:, upper:].max(1)}
    return found | {f"layer_{layer}": layers[:, layer] for layer in range(layers.shape[1])}


def auc(values: np.ndarray, present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance that a row that is present scores higher than one that is not, ties half, float64 [resample].

    weights   how often each row counts, [resample, row]; NaN where one kind is missing
    """
    own, other = values[present], values[~present]
    above = (own[:, None] > other[None]) + 0.5 * (own[:, None] == other[None])
    here, there = weights[:, present], weights[:, ~present]
    pairs = here.sum(1) * there.sum(1)
    sums = np.einsum("ri,ij,rj->r", here, above, there, optimize=True)
    return np.divide(sums, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
