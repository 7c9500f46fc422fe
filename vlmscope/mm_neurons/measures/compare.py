"""Does it matter what counts as activation? Lists by the gate alone against lists by the down projection's input.

The released code was switched from the one to the other and back (mm_neurons.md 2.1, B1); this table is ours.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Key, Neurons
from vlmscope.stats import bootstrap_mean

PAIR = ("act_fn", "down_proj_input")
# Methods that have a list for either activation; random ones are the same for both.
METHODS = ("contribution", "contribution_negative", "activation")
# Columns of table_hook_compare: overlap is |one & other| / k, mean over the nouns of an image, then over images, with a
# bootstrap interval over images; rank_correlation is Spearman's over the neurons that both lists of a noun hold.
TABLE = {
    "method": pl.String,
    "k": pl.Int64,
    "overlap": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "rank_correlation": pl.Float64,
    "listed_in_both": pl.Float64,
    "n_images": pl.Int64,
    "n": pl.Int64,
}


def numbers(one: Neurons) -> np.ndarray:
    """One number per neuron, int64 [k], best first."""
    # Lists keep units in 16 bits.
    return one.layer.astype(np.int64) << 16 | one.unit


def overlap(one: np.ndarray, other: np.ndarray, k: int) -> float:
    """Share of the k best that both lists have; NaN where a list is shorter."""
    return len(np.intersect1d(one[:k], other[:k])) / k if min(len(one), len(other)) >= k else math.nan


def correlation(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """Spearman's rank correlation over the neurons that both lists hold, and their number; NaN for fewer than two."""
    _, first, second = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    if len(first) < 2:
        return math.nan, len(first)
    ranks = [place.argsort().argsort().astype(np.float64) for place in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1]), len(first)


def rows(
    pair: Sequence[Mapping[Key, Neurons]], method: str, k: Sequence[int], resamples: int, seed: int
) -> pl.DataFrame:
    """`TABLE` of one method from the lists by either activation, a row for every k."""
    keys = [key for key in pair[0] if key in pair[1]]
    both = [(numbers(pair[0][key]), numbers(pair[1][key])) for key in keys]
    ranked = [correlation(*one) for one in both]
    middle = [_mean([one[place] for one in ranked]) for place in (0, 1)]
    found = []
    for size in k:
        shares = np.array([overlap(*one, size) for one in both])
        known = ~np.isnan(shares)
        images = _by_image([key[0] for key, there in zip(keys, known, strict=True) if there], shares[known])
        interval = bootstrap_mean(images, resamples, seed)
        found.append((method, size, _mean(images), *interval, *middle, len(images), int(known.sum())))
    return pl.DataFrame(found, TABLE, orient="row")


def _by_image(samples: Sequence[str], values: np.ndarray) -> np.ndarray:
    frame = pl.DataFrame({"sample": samples, "value": values}, {"sample": pl.String, "value": pl.Float64})
    return frame.group_by("sample", maintain_order=True).agg(pl.col("value").mean())["value"].to_numpy()


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def from_files(path: str, *, k: Sequence[int], bootstrap: int, seed: int) -> pl.DataFrame:
    """The table of a file of lists; no row where it holds one activation alone."""
    if not set(PAIR) <= set(lists.about(path)["lists"]):
        return pl.DataFrame(schema=TABLE)
    tables = []
    for method in METHODS:
        pair = [lists.read(path, activation, method) for activation in PAIR]
        tables.append(rows(pair, method, k, bootstrap, seed))
    return pl.concat(tables)
