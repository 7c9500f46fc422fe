"""Table 1: how many neurons are domain-specific, per module and domain (mmneuron.md 7.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.mmneuron import modules


def schema(domains: Sequence[str]) -> dict[str, Any]:
    """Columns of table1.csv."""
    head = {"baseline": pl.String, "module": pl.String, "n_neurons": pl.Int64, "n_selected": pl.Int64}
    tail = {"union": pl.Int64, "shared_ge2": pl.Int64, "threshold": pl.Float64}
    return {**head, **dict.fromkeys(domains, pl.Int64), **tail}


def table(
    summaries: Mapping[str, Mapping[str, Any]], *, label: str, family: str, domains: Sequence[str]
) -> pl.DataFrame:
    """One row per module, in the order of the family's modules.

    summaries   module -> what identification reports
    """
    rows = [
        {
            "baseline": label,
            "module": module,
            **{key: one[key] for key in ("n_neurons", "n_selected", "union", "shared_ge2", "threshold")},
            **one["members"],
        }
        for module, one in ((module, summaries[module]) for module in modules.sites(family))
    ]
    return pl.DataFrame(rows, schema=schema(domains))
