"""Curves over layers that the lens gives: entropy by kind of position, share of whole words (mmneuron.md 2.9)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

ENTROPY = {
    "layer": pl.Int32,
    "domain": pl.String,
    "token_type": pl.String,
    "mean_entropy": pl.Float64,
    "std": pl.Float64,
    "n": pl.Int64,
}
# Kinds of positions; last is the one that predicts the first token of the answer.
TYPES = ("image", "text", "last")


@dataclass(frozen=True)
class Sums:
    """Lens sums of one domain, block output.

    n         float64 [sample, type]          positions
    entropy   float64 [sample, type, layer]   entropies added up
    words     float64 [sample, type, layer]   positions whose first token is a whole word
    """

    n: np.ndarray
    entropy: np.ndarray
    words: np.ndarray


def entropy_table(curves: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Mean and spread of the lens entropy over positions, block output, nine decimals.

    curves   domain -> `schemas.CURVES`
    """
    parts = []
    for domain, frame in curves.items():
        summed = (
            frame.filter(pl.col("channel") == "block")
            .group_by("layer", "token_type", maintain_order=True)
            .agg(pl.col("n", "entropy", "squares").sum())
            .with_columns(mean_entropy=pl.col("entropy") / pl.col("n"), domain=pl.lit(domain))
            .with_columns(std=(pl.col("squares") / pl.col("n") - pl.col("mean_entropy").pow(2)).clip(0).sqrt())
        )
        order = pl.col("token_type").replace_strict({name: k for k, name in enumerate(TYPES)}, return_dtype=pl.Int32)
        parts.append(
            summed.sort(order, "layer").with_columns(pl.col("mean_entropy", "std").round(9)).select(list(ENTROPY))
        )
    return pl.concat(parts)


def sums(frame: pl.DataFrame, layers: int) -> Sums:
    """Sums of one domain as arrays; a kind of position that a sample lacks has n = 0."""
    block = frame.filter(pl.col("channel") == "block")
    names = block["sample"].unique(maintain_order=True).to_list()
    place = {name: number for number, name in enumerate(names)}
    found = Sums(*(np.zeros((len(names), len(TYPES), *rest)) for rest in ((), (layers,), (layers,))))
    for row in block.iter_rows(named=True):
        here = place[row["sample"]], TYPES.index(row["token_type"])
        found.n[here] = row["n"]
        found.entropy[*here, row["layer"]] = row["entropy"]
        found.words[*here, row["layer"]] = row["words"]
    return found


def named(
    neurons: Mapping[str, np.ndarray], parts: Mapping[str, Sums], draw: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Name -> curve [layer] of some domains together; domains weigh the same, whatever their number of samples.

    neurons   domain -> domain-specific neurons per layer
    parts     domain -> sums
    draw      domain -> numbers of the samples to use (bootstrap); all of them without
    """
    found = {f"neurons_{domain}": counts.astype(float) for domain, counts in neurons.items()}
    means = {domain: _means(part, None if draw is None else draw[domain]) for domain, part in parts.items()}
    for place, kind in enumerate(TYPES):
        found[f"entropy_{kind}"] = np.mean([entropy[place] for entropy, _ in means.values()], axis=0)
    found["words_image"] = np.mean([words[TYPES.index("image")] for _, words in means.values()], axis=0)
    # A kind of position that some domain does not have gives no curve.
    return {name: curve for name, curve in found.items() if np.isfinite(curve).all()}


def _means(part: Sums, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean entropy and share of whole words over positions, [type, layer] each; nan where there is no position."""
    chosen = slice(None) if rows is None else rows
    n = part.n[chosen].sum(axis=0)[:, None]
    entropy, words = (each[chosen].sum(axis=0) for each in (part.entropy, part.words))
    return tuple(np.divide(each, n, out=np.full_like(each, np.nan), where=n > 0) for each in (entropy, words))
