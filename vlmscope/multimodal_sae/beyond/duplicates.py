"""Do several latents say the same? Near decoder rows, and near firing, beside chance.

Notation: F latents, n patches. Latents fire together in J = |A and B| / |A or B| of the patches in which either fires.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.beyond import cosines
from vlmscope.multimodal_sae.beyond.stability import over
from vlmscope.multimodal_sae.cache.active import Active

ABOVE = (0.5, 0.7, 0.9)
# value: mean or share over latents; chance: the same of random directions with the covariance of the rows (cosine), or
# with the pictures of every latent moved on by a number of its own (jaccard, correlation).
DUPLICATES = {
    "coder": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "chance": pl.Float64,
    "chance_low": pl.Float64,
    "chance_high": pl.Float64,
    "latents": pl.Int64,
}
TWINS = {
    "coder": pl.String,
    "by": pl.String,
    "rank": pl.Int64,
    "latent": pl.Int64,
    "other": pl.Int64,
    "cosine": pl.Float64,
    "jaccard": pl.Float64,
    "correlation": pl.Float64,
    "fired": pl.Int64,
    "fired_other": pl.Int64,
}


# Some latents, and their products with all [some, F] -> a measure of the pairs [some, F].
Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Nearest(NamedTuple):
    """Every latent's largest value with another one, and which one that is; -1 where it is not compared.

    value   float64 [F]
    other   int64 [F]
    """

    value: np.ndarray
    other: np.ndarray


def _pairs(matrix: Any, first: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some columns of a sparse matrix [n, F] and their products with all of them, float64 [some, F]."""
    step = max(1, cosines.DENSE // max(1, matrix.shape[1]))
    turned = matrix.T.tocsr()
    for start in range(0, len(first), step):
        some = first[start : start + step]
        yield some, (turned[some] @ matrix).toarray().astype(np.float64)


def together(matrix: Any, least: int) -> tuple[Nearest, Nearest]:
    """By firing in the same patches (J), and by correlation of the values.

    matrix   sparse float32 [n, F]
    least    patches in which both latents fire, at least
    """
    n = matrix.shape[0]
    fires = (matrix > 0).astype(np.float32)
    count = np.asarray(fires.sum(0), np.float64)
    kept = np.flatnonzero(count >= least)
    quiet = count < least
    mean = np.asarray(matrix.sum(0), np.float64) / n
    square = np.asarray(matrix.power(2).sum(0), np.float64) / n
    spread = np.sqrt(np.maximum(square - mean**2, cosines.TINY))

    def overlap(some: np.ndarray, both: np.ndarray) -> np.ndarray:
        return both / np.maximum(count[some][:, None] + count[None] - both, 1)

    def correlated(some: np.ndarray, both: np.ndarray) -> np.ndarray:
        return (both / n - mean[some][:, None] * mean[None]) / (spread[some][:, None] * spread[None])

    return _best(fires, kept, quiet, overlap), _best(matrix, kept, quiet, correlated)


def _best(matrix: Any, kept: np.ndarray, quiet: np.ndarray, measure: Measure) -> Nearest:
    """Largest measure of every latent that is kept with another one that is not quiet."""
    value, other = np.full(len(quiet), np.nan), np.full(len(quiet), -1, np.int64)
    if len(kept) < 2:
        return Nearest(value, other)
    for some, both in _pairs(matrix, kept):
        found = measure(some, both)
        found[:, quiet] = -np.inf
        found[np.arange(len(some)), some] = -np.inf
        other[some] = found.argmax(1)
        value[some] = found.max(1)
    return Nearest(value, other)


def moved(active: Active, generator: np.random.Generator) -> Any:
    """The same firing with the pictures of every latent moved on by a number of its own: sparse float32 [n, F].

    How often, how strongly and in which neighbouring patches a latent fires stays; with whom does not.
    """
    from scipy import sparse

    matrix = active.matrix.tocoo()
    pictures = matrix.shape[0] // active.base
    step = generator.integers(1, max(2, pictures), active.latents)
    row, column = matrix.coords
    picture, position = np.divmod(row, active.base)
    there = (picture + step[column]) % pictures * active.base + position
    return sparse.csr_array((matrix.data, (there, column)), shape=matrix.shape)


def nearest(rows: np.ndarray) -> Nearest:
    """By decoder rows of length 1."""
    value, other = cosines.neighbours(rows, 1)
    return Nearest(value[:, 0].astype(np.float64), other[:, 0])


def tables(
    coder: str, rows: np.ndarray, active: Active, settings: Mapping[str, Any], seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `DUPLICATES` and `TWINS` of one autoencoder.

    rows       decoder rows of length 1, [F, d]
    settings   multimodal_sae.beyond.duplicates
    """
    generator = np.random.default_rng(seed)
    near = {"cosine": nearest(rows)}
    near["jaccard"], near["correlation"] = together(active.matrix, settings["least"])
    chance = {"cosine": nearest(cosines.alike(rows, len(rows), generator))}
    chance["jaccard"], chance["correlation"] = together(moved(active, generator), settings["least"])
    found = []
    for name in near:
        own, other = (one[name].value[one[name].other >= 0] for one in (near, chance))
        for metric, (left, right) in _metrics(name, own, other).items():
            told = dict(zip(("value", "low", "high"), over(left), strict=True))
            told |= dict(zip(("chance", "chance_low", "chance_high"), over(right), strict=True))
            found.append({"coder": coder, "metric": metric, **told, "latents": len(own)})
    return found, _twins(coder, rows, active, near, settings["pairs"])


def _metrics(name: str, own: np.ndarray, chance: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    means = {f"max_{name}": (own, chance)}
    return means | {f"{name}_above_{least}": (own > least, chance > least) for least in ABOVE}


def _twins(
    coder: str, rows: np.ndarray, active: Active, near: Mapping[str, Nearest], most: int
) -> list[dict[str, Any]]:
    """The nearest pairs by each measure, with all measures of them."""
    found = []
    for by, one in near.items():
        order = np.argsort(-np.nan_to_num(one.value, nan=-np.inf), kind="stable")
        named = [(int(latent), int(one.other[latent])) for latent in order if one.other[latent] >= 0]
        pairs = list(dict.fromkeys(tuple(sorted(pair)) for pair in named))[:most]
        for rank, (left, right) in enumerate(pairs, 1):
            about = {"coder": coder, "by": by, "rank": rank, "latent": left, "other": right}
            found.append({**about, "cosine": float(rows[left] @ rows[right]), **_firing(active, left, right)})
    return found


def _firing(active: Active, left: int, right: int) -> dict[str, Any]:
    """How two latents fire together."""
    one, other = (np.where(active.idx == latent, active.val, 0).sum(1) for latent in (left, right))
    either, both = np.count_nonzero((one > 0) | (other > 0)), np.count_nonzero((one > 0) & (other > 0))
    known = one.std() > 0 and other.std() > 0
    return {
        "jaccard": both / either if either else math.nan,
        "correlation": float(np.corrcoef(one, other)[0, 1]) if known else math.nan,
        "fired": int(np.count_nonzero(one)),
        "fired_other": int(np.count_nonzero(other)),
    }
