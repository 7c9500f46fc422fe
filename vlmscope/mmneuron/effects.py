"""Own-domain effect beside its controls: zeroing a domain's neurons, another domain's, or as many random ones."""

from collections.abc import Sequence

import polars as pl

from vlmscope.mmneuron.scored import SUMMARY, by_domain, summary

SCHEMA = {"domain": pl.String, "kind": pl.String, **SUMMARY}
CROSS = {"neurons_of": pl.String, "tested_on": pl.String, **SUMMARY}
KINDS = ("own", "other", "random")


def effects(rows: pl.DataFrame, condition: str, resamples: int, seed: int) -> pl.DataFrame:
    """Per domain and kind of mask: mean deviation in % and change of the score in points, with intervals.

    rows        see `scored.SCORED`
    condition   whose masks are compared
    Intervals are 95 % bootstrap intervals over samples; each sample's value is its mean over the masks of a kind.
    The rows of domain "mean" average the domains, resampled within each.
    """
    kinds = pl.Enum(KINDS)
    chosen = rows.filter((pl.col("condition") == condition) & pl.col("kind").is_in(KINDS))
    places = {domain: place for place, domain in enumerate(rows["domain"].unique(maintain_order=True))}
    order = pl.col("domain").replace_strict(places, return_dtype=pl.Int32), pl.col("kind").cast(kinds)
    return pl.DataFrame(by_domain(chosen.sort(*order, maintain_order=True), ["kind"], resamples, seed), schema=SCHEMA)


def cross(rows: pl.DataFrame, condition: str, domains: Sequence[str], resamples: int, seed: int) -> pl.DataFrame:
    """Every domain's neurons zeroed, every domain tested; the diagonal is the own-domain effect.

    rows   see `scored.SCORED`
    """
    masked = rows.filter((pl.col("condition") == condition) & pl.col("kind").is_in(["own", "other"]))
    masked = masked.with_columns(
        neurons_of=pl.when(pl.col("kind") == "own").then(pl.col("domain")).otherwise(pl.col("variant"))
    )
    found = []
    for source in domains:
        for tested in domains:
            part = masked.filter((pl.col("neurons_of") == source) & (pl.col("domain") == tested))
            found.append({"neurons_of": source, "tested_on": tested, **summary(part, resamples, seed)})
    return pl.DataFrame(found, schema=CROSS)
