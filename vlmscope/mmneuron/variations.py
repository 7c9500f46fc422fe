"""What variations of the deactivation say: effect over the number of neurons, and what replaces the activation."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.mmneuron import scored
from vlmscope.mmneuron.scored import SUMMARY, by_domain

DOSE = {"domain": pl.String, "rate": pl.Float64, "kind": pl.String, **SUMMARY}
ABLATIONS = {"domain": pl.String, "edit": pl.String, "factor": pl.Float64, **SUMMARY}


def dose(rows: pl.DataFrame, resamples: int, seed: int) -> pl.DataFrame:
    """Effect over the share of neurons (top_rate), own neurons beside as many random ones.

    rows   see `scored.SCORED`, of kinds dose and dose_random
    """
    kinds = {"dose": "own", "dose_random": "random"}
    chosen = rows.filter(pl.col("kind").is_in(list(kinds))).with_columns(
        rate=pl.col("variant").str.split(":").list.first().cast(pl.Float64), kind=pl.col("kind").replace_strict(kinds)
    )
    found = by_domain(chosen, ["rate", "kind"], resamples, seed)
    return pl.DataFrame(found, schema=DOSE)


def ablations(rows: pl.DataFrame, resamples: int, seed: int) -> pl.DataFrame:
    """Own neurons set to zero, to their mean over all domains, or multiplied by a factor.

    rows   see `scored.SCORED`, of kinds zero, mean and scale
    """
    chosen = rows.filter(pl.col("kind").is_in(["zero", "mean", "scale"])).with_columns(
        edit=pl.col("kind"),
        # A factor of its own for zero; the mean is no multiple of the activation.
        factor=pl.when(pl.col("kind") == "zero").then(pl.lit("0")).otherwise(pl.col("variant").replace("", None)),
    )
    chosen = chosen.with_columns(factor=pl.col("factor").cast(pl.Float64))
    return pl.DataFrame(by_domain(chosen, ["edit", "factor"], resamples, seed), schema=ABLATIONS)


def from_files(
    evaluate: Mapping[str, Any],
    data: Mapping[str, Any],
    rows: Sequence[str],
    samples: Sequence[str],
    judge_files: Sequence[str],
) -> dict[str, tuple[pl.DataFrame, dict[str, Any]]]:
    """Both tables with their schemas, by the name of the output.

    evaluate   the section mmneuron.evaluate
    data       domains in order and their benchmark formats
    """
    asked = dict(zip(data["domains"], samples, strict=True))
    every = scored.from_files(rows, asked, judge_files, data["kinds"], evaluate)
    draws = evaluate["bootstrap"], evaluate["seed"]
    return {"dose": (dose(every, *draws), DOSE), "ablations": (ablations(every, *draws), ABLATIONS)}
