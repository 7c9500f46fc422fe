"""Tables 3 to 5: deviation of hidden states, and random neurons as a control for both tables (mmneuron.md 7.3).

The numbers of the tables are inferred, see `table2`. All three are measured on the first `mmneuron.effects.samples`
questions of each domain; table 4 stands beside scores of the own neurons on the same questions.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope.mmneuron.metrics import metric_of
from vlmscope.mmneuron.table2 import CELL, Setup, neuron_set, wide, wide_schema
from vlmscope.stats import bootstrap_mean, mean_interval

DEVIATION = {
    "n": pl.Int64,
    "deviation": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "one_minus_cos": pl.Float64,
    "kl_next": pl.Float64,
    "n_masked_neurons": pl.Int64,
}
LONG3 = {**CELL, **DEVIATION, "neuron_set": pl.String}
LONG4 = {
    **CELL,
    "metric": pl.String,
    "random_seed": pl.Int64,
    "n": pl.Int64,
    "score": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "delta_vs_none": pl.Float64,
    "own_score": pl.Float64,
    "n_masked_neurons": pl.Int64,
    "decode": pl.String,
    "seed": pl.Int64,
}
LONG5 = {**CELL, "random_seed": pl.Int64, **DEVIATION, "own_deviation": pl.Float64}


def tables(rows: pl.DataFrame, setup: Setup) -> dict[str, tuple[pl.DataFrame, dict[str, Any]]]:
    """Name of the output -> table and schema.

    rows   see `scored.SCORED`; kinds none, own and random
    """
    three, four, five = (pl.DataFrame(make(rows, setup), schema=kind) for make, kind in LONG.items())
    form = wide_schema(setup)
    return {
        "table3": (wide(_means(three, "deviation"), setup), form),
        "table3_long": (three, LONG3),
        "table4": (wide(_means(four, "score", 100), setup), form),
        "table4_long": (four, LONG4),
        "table5": (wide(_means(five, "deviation"), setup), form),
        "table5_long": (five, LONG5),
    }


def _means(long: pl.DataFrame, value: str, times: float = 1) -> dict[tuple[str, str], float]:
    """Condition and domain -> mean over the draws of random neurons."""
    means = long.group_by("condition", "domain", maintain_order=True).agg(pl.mean(value))
    return {(row["condition"], row["domain"]): times * row[value] for row in means.iter_rows(named=True)}


def _own(rows: pl.DataFrame, setup: Setup) -> list[dict[str, Any]]:
    """Table 3: own neurons, deviation."""
    return [
        {**cell, **_deviation(part, setup), "neuron_set": neuron_set(modules, setup.summaries)}
        for cell, modules, part, _ in _parts(rows, setup, "own")
    ]


def _random_scores(rows: pl.DataFrame, setup: Setup) -> list[dict[str, Any]]:
    """Table 4: random neurons, score."""
    found = []
    for cell, _, part, own in _parts(rows, setup, "random"):
        mean, low, high = mean_interval(part["score"], setup.evaluate["bootstrap"], setup.evaluate["seed"])
        found.append(
            {
                **cell,
                "metric": metric_of(setup.kinds[cell["domain"]], setup.evaluate),
                "random_seed": _seed(part),
                "n": len(part),
                "score": mean,
                "ci_low": low,
                "ci_high": high,
                "delta_vs_none": part["delta"].mean(),
                "own_score": own["score"].mean(),
                "n_masked_neurons": part["units"][0],
                "decode": setup.generate["decode"],
                "seed": setup.generate["seed"],
            }
        )
    return found


def _random_deviations(rows: pl.DataFrame, setup: Setup) -> list[dict[str, Any]]:
    """Table 5: random neurons, deviation."""
    return [
        {**cell, "random_seed": _seed(part), **_deviation(part, setup), "own_deviation": own["deviation"].mean()}
        for cell, _, part, own in _parts(rows, setup, "random")
    ]


LONG = {_own: LONG3, _random_scores: LONG4, _random_deviations: LONG5}


def _parts(rows: pl.DataFrame, setup: Setup, kind: str) -> Any:
    """Cell, modules, rows of one mask, rows of the own neurons: by condition, domain and draw."""
    for condition in setup.conditions:
        for domain in rows["domain"].unique(maintain_order=True):
            within = rows.filter((pl.col("domain") == domain) & (pl.col("condition") == _in_rows(condition)))
            wanted = kind if condition["modules"] else "none"
            own = within.filter(pl.col("kind") == ("own" if condition["modules"] else "none"))
            for part in within.filter(pl.col("kind") == wanted).partition_by("mask", maintain_order=True):
                yield setup.cell(condition, domain), condition["modules"], part, own


def _in_rows(condition: Mapping[str, Any]) -> str:
    return condition["name"] if condition["modules"] else ""


def _seed(part: pl.DataFrame) -> int | None:
    return int(part["variant"][0]) if part["kind"][0] == "random" else None


def _deviation(part: pl.DataFrame, setup: Setup) -> dict[str, Any]:
    low, high = bootstrap_mean(part["deviation"].to_numpy(), setup.evaluate["bootstrap"], setup.evaluate["seed"])
    return {
        "n": len(part),
        "deviation": part["deviation"].mean(),
        "ci_low": low,
        "ci_high": high,
        "one_minus_cos": part["one_minus_cos"].mean(),
        "kl_next": part["kl_next"].mean(),
        "n_masked_neurons": part["units"][0],
    }
