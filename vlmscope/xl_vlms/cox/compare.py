"""Concepts of several models over the same pictures (xl_vlms.md 9; ours).

Widths differ between models, so nothing is compared unit by unit: states by linear CKA, concepts by how alike their
activations go over the samples that both models have.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations as pairs
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.metrics import concepts as measures
from vlmscope.stats import interval
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries.schemas import ACROSS
from vlmscope.xl_vlms.sets import vectors

Row = dict[str, Any]
Score = Callable[[np.ndarray, np.ndarray], float]
# Samples in common below which nothing is said.
FEWEST = 5


class One(NamedTuple):
    """A model over one set.

    values       float32 [M, D]
    activations  float32 [M, K]   of the main dictionary
    """

    model: str
    samples: list[str]
    key: dictionary_files.Key
    values: np.ndarray
    activations: np.ndarray


def compared(one: One, other: One, *, draws: int, bootstrap: int, seed: int) -> Row:
    """Values of `ACROSS` over the samples in common."""
    there = {sample: place for place, sample in enumerate(other.samples)}
    rows = np.array([[place, there[sample]] for place, sample in enumerate(one.samples) if sample in there], dtype=int)
    row: Row = {"model": one.model, "other": other.model, "n": len(rows)}
    if len(rows) < FEWEST:
        return row
    left, right = rows.T
    for name, parts, score in (
        ("cka", (one.values[left], other.values[right]), measures.linear_cka),
        ("matched", (one.activations[left], other.activations[right]), matched),
    ):
        row |= {f"{name}{end}": value for end, value in beside(score, *parts, draws, bootstrap, seed).items()}
    return row


def matched(one: np.ndarray, other: np.ndarray) -> float:
    """Mean correlation of activations of matched concepts."""
    return measures.matched_mean(measures.correlations(one, other))


def beside(score: Score, one: np.ndarray, other: np.ndarray, draws: int, bootstrap: int, seed: int) -> dict[str, float]:
    """A score with its interval over samples, and that of shuffled samples: mean, 97.5 % quantile, one-sided p.

    Intervals are of halves drawn again and again: resamples with doubled samples would look too much alike.
    """
    generator, value, half = np.random.default_rng(seed), score(one, other), max(3, len(one) // 2)
    parts = [generator.permutation(len(one))[:half] for _ in range(bootstrap)]
    spread = np.array([score(one[rows], other[rows]) for rows in parts])
    # Halves of n spread as the whole does: their share drawn without replacement is as large as what is left out.
    low, high = interval(value + (spread - spread.mean()))
    shuffled = np.array([score(one, other[generator.permutation(len(other))]) for _ in range(draws)])
    chance = float((1 + (shuffled >= value).sum()) / (1 + draws))
    told = {"": value, "_low": low, "_high": high, "_shuffled": float(shuffled.mean()), "_p": chance}
    return {**told, "_shuffled_high": float(np.quantile(shuffled, 0.975))}


def read(path: str, source: str, method: str) -> One:
    """A model's main dictionary of one set."""
    main, about = dictionary_files.main_module(path), dictionary_files.recipe(path)
    key = next(one for one in dictionary_files.keys(path) if one.module == main and one.method == method)
    own = vectors.read(source, main)
    return One(about["model"], own.samples, key, own.values, dictionary_files.read(path, key).projected)


def from_files(paths: Sequence[str], vector_sets: Sequence[str], settings: Mapping[str, Any]) -> pl.DataFrame:
    """`ACROSS` of all pairs of models, by set.

    paths, vector_sets   files of dictionaries and of vectors, set by set, as many of each as there are models
    settings             models, main, shuffles, resamples, seed
    """
    rows, both = [], list(zip(paths, vector_sets, strict=True))
    kept = {"draws": settings["shuffles"], "bootstrap": settings["resamples"], "seed": settings["seed"]}
    width = max(1, len(settings["models"]))
    for start in range(0, len(both), width):
        own = [read(*part, settings["main"]) for part in both[start : start + width]]
        token = dictionary_files.recipe(both[start][0])["set"]
        rows += [{"token": token, **one.key._asdict(), **compared(one, other, **kept)} for one, other in pairs(own, 2)]
    return pl.DataFrame(rows, schema=ACROSS)
