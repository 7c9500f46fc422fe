"""Edits in numbers: how often they work, on which pictures, at what cost (mm_neurons.md 6.8, 7)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mm_neurons.schemas import EDITED
from vlmscope.stats import Draws, interval, mean_interval
from vlmscope.store import tables

# K: neurons; applied: alone, or stacked with the edits of the other pairs by this method; success of pictures that the
# edit is made from, generality of others with the source word, locality: captions without it that stay. *_n: pictures.
# ppl: of new captions of pictures with the source word under the untouched model; margins of those it is made from.
EDIT = {
    "source": pl.String,
    "target": pl.String,
    "method": pl.String,
    "K": pl.Int64,
    "success": pl.Float64,
    "generality": pl.Float64,
    "locality": pl.Float64,
    "ppl": pl.Float64,
    "margin_before": pl.Float64,
    "margin_after": pl.Float64,
    "seconds": pl.Float64,
    "paper": pl.Float64,
    "applied": pl.String,
    "weights": pl.Int64,
    "success_low": pl.Float64,
    "success_high": pl.Float64,
    "success_n": pl.Int64,
    "generality_low": pl.Float64,
    "generality_high": pl.Float64,
    "generality_n": pl.Int64,
    "locality_low": pl.Float64,
    "locality_high": pl.Float64,
    "locality_n": pl.Int64,
    "success_token": pl.Float64,
    "generality_token": pl.Float64,
    "kl_first": pl.Float64,
    "kl_first_low": pl.Float64,
    "kl_first_high": pl.Float64,
    "kl": pl.Float64,
    "ppl_low": pl.Float64,
    "ppl_high": pl.Float64,
    "ppl_before": pl.Float64,
    "margin_after_low": pl.Float64,
    "margin_after_high": pl.Float64,
}
EXAMPLES = {
    "image_id": pl.String,
    "source": pl.String,
    "target": pl.String,
    "before": pl.String,
    "after": pl.String,
    "method": pl.String,
    "applied": pl.String,
    "role": pl.String,
}
KEYS = ("source", "target", "method", "applied")
# Share, role of the pictures, column of the rows.
SHARES = {
    "success": ("made", "success"),
    "generality": ("general", "success"),
    "locality": ("local", "unchanged"),
}


def table(rows: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    """One row per pair, method and way of applying, `EDIT`; order of the rows kept.

    rows   `EDITED`
    """
    found = [
        {**dict(zip(KEYS, key, strict=True)), **_row(part, draws)}
        for key, part in rows.group_by(*KEYS, maintain_order=True)
    ]
    return pl.DataFrame(found, schema=EDIT)


def _row(rows: pl.DataFrame, draws: Draws) -> dict[str, Any]:
    by_role = {role: rows.filter(role=role) for role, _ in SHARES.values()}
    row: dict[str, Any] = {}
    for name, (role, column) in SHARES.items():
        values = by_role[role][column].cast(pl.Float64).to_numpy()
        row |= _named(name, mean_interval(values, *draws)) | {f"{name}_n": len(values)}
    made, local = by_role["made"], by_role["local"]
    source = pl.concat([made, by_role["general"]])
    row |= {"success_token": made["first_token"].mean(), "generality_token": by_role["general"]["first_token"].mean()}
    row |= _named("kl_first", draws.mean(local["kl_first"].to_numpy())) | {"kl": local["kl"].mean()}
    row |= _named("ppl", perplexity(source["nll_after"].to_numpy(), source["tokens_after"].to_numpy(), draws))
    row["ppl_before"] = perplexity(source["nll_before"].to_numpy(), source["tokens_before"].to_numpy(), draws)[0]
    row |= _named("margin_after", draws.mean(made["margin_after"].drop_nulls().to_numpy()))
    row["margin_before"] = made["margin_before"].mean()
    row |= {"K": rows["neurons"][0], "weights": rows["weights"][0], "seconds": rows["seconds"][0]}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _named(name: str, values: Sequence[float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def perplexity(nll: np.ndarray, tokens: np.ndarray, draws: Draws) -> tuple[float, float, float]:
    """exp of the mean negative log-likelihood per token, with an interval over captions; NaN where there is none."""
    if not len(nll):
        return (math.nan,) * 3
    weights = draws.weights(len(nll))
    values = np.exp((weights @ nll) / (weights @ tokens.astype(np.float64)))
    return (float(values[0]), *interval(values[1:]))


def examples(rows: pl.DataFrame) -> pl.DataFrame:
    """Captions before and after, `EXAMPLES`; of captions without the source word only those that changed."""
    shown = rows.filter((pl.col("role") != "local") | ~pl.col("unchanged"))
    return shown.rename({"sample": "image_id"}).select(EXAMPLES.keys())


def from_files(
    *, rows: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, tuple[pl.DataFrame, Mapping[str, Any]]]:
    """Both tables with their schemas.

    rows       files of `EDITED`
    settings   bootstrap, seed
    """
    joined = pl.concat([pl.DataFrame(schema=EDITED), *(tables.read(path, EDITED) for path in rows)])
    draws = Draws(settings["bootstrap"], settings["seed"])
    return {"table": (table(joined, draws), EDIT), "examples": (examples(joined), EXAMPLES)}
