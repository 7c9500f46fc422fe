"""Columns of the tables that this system's steps hand to each other."""

from collections.abc import Sequence
from typing import Any

import polars as pl


def neurons(domains: Sequence[str]) -> dict[str, Any]:
    """Neuron table: one row per neuron and domain, firing probabilities of all domains beside it (mmneuron.md 7.3)."""
    head = {"module": pl.String, "layer": pl.Int32, "index": pl.Int32, "domain": pl.String}
    return head | {f"p_{domain}": pl.Float64 for domain in domains} | {"entropy": pl.Float64}


# Answers: one row per condition and question.
ANSWERS = {"condition": pl.String, "sample": pl.String, "group": pl.String, "prediction": pl.String, "tokens": pl.Int32}

# Scores: one row per condition, question and metric, 0..1.
SCORES = {"condition": pl.String, "group": pl.String, "metric": pl.String, "score": pl.Float64}

# The same with the domain in front.
DOMAIN_SCORES = {"domain": pl.String, **SCORES}

# Perturbation: one row per mask and sample; deviations in %, see perturb.py.
PERTURBED = {
    "mask": pl.String,
    "kind": pl.String,
    "sample": pl.String,
    "group": pl.String,
    "units": pl.Int64,
    "deviation": pl.Float64,
    "one_minus_cos": pl.Float64,
    "kl_next": pl.Float64,
    "prediction": pl.String,
}
