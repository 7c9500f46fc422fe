"""Sets of the k best neurons of a noun, and how much of them two nouns or two pictures share (mm_neurons.md 6).

Notation: S(x, w, k) the k best neurons of the noun w of image x, by one method and activation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Key, Kind, Neurons

# Numbers of neurons: layer times this, plus unit; units of a list are 16-bit numbers.
WIDTH = 1 << 16
# What is added to the number of a neuron where its lower end is meant: the tokens that it lowers.
LOWER = 1 << 32


@dataclass(frozen=True)
class Sets:
    """Lists of one activation and method, a row per noun of an image.

    keys      [row]   sample, and noun as it was written
    neurons   int64 [row, keep]   numbers of neurons, best first
    negative  bool [row, keep]    whether they were active below zero; None: none was
    """

    keys: tuple[Key, ...]
    neurons: np.ndarray
    negative: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def images(self) -> np.ndarray:
        """Sample of every row, text [row]."""
        return np.array([sample for sample, _ in self.keys], dtype=str)

    @cached_property
    def nouns(self) -> np.ndarray:
        """Noun of every row without case, text [row]; so one at the head of a sentence is the same."""
        return np.array([noun.casefold() for _, noun in self.keys], dtype=str)

    @property
    def keep(self) -> int:
        """Length of the lists; 0 where there are none."""
        return self.neurons.shape[1]

    def best(self, k: int) -> np.ndarray:
        """The k best of every noun, int64 [row, k]."""
        return self.neurons[:, :k]

    def only(self, rows: np.ndarray) -> "Sets":
        """Some of the rows; `rows` bool [row]."""
        keys = tuple(key for key, stays in zip(self.keys, rows, strict=True) if stays)
        return Sets(keys, self.neurons[rows], None if self.negative is None else self.negative[rows])

    def ends(self, ends: str) -> "Sets":
        """With numbers of ends for numbers of neurons.

        ends   top: what a neuron raises when it is active; signed: what it raised, the lower end of one that was
               active below zero
        """
        if ends == "top" or self.negative is None:
            return self
        return replace(self, neurons=self.neurons + LOWER * self.negative)


def of(found: Mapping[Key, Neurons]) -> Sets:
    """Sets from lists by sample and noun; of a noun that stands twice but for case, the first."""
    rows: dict[Key, tuple[Key, Neurons]] = {}
    for (sample, noun), one in found.items():
        rows.setdefault((sample, noun.casefold()), ((sample, noun), one))
    if not rows:
        return Sets((), np.zeros((0, 0), np.int64), np.zeros((0, 0), np.bool_))
    keys, listed = zip(*rows.values(), strict=True)
    return Sets(
        keys,
        np.stack([number(one.layer, one.unit) for one in listed]),
        np.stack([lists.column(one, "negative") for one in listed]),
    )


def number(layers: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Numbers of neurons, int64."""
    return np.asarray(layers).astype(np.int64) * WIDTH + np.asarray(units)


def end() -> pl.Expr:
    """Number of a neuron's end, from a row of `schemas.NEURON_TOKENS`."""
    own = pl.col("layer").cast(pl.Int64) * WIDTH + pl.col("unit")
    return (own + pl.when(pl.col("end") == "bottom").then(LOWER).otherwise(0)).alias("neuron")


def read(paths: Sequence[str], k: int) -> dict[Kind, Sets]:
    """Activation and method with its sets, at most the k best of each noun; the files hold different methods."""
    found = {}
    for path in paths:
        for activation, methods in lists.about(path)["lists"].items():
            found |= {(activation, method): of(lists.read(path, activation, method, k)) for method in methods}
    return dict(sorted(found.items(), key=lambda item: (item[0][0], rank(item[0][1]))))


def rank(method: str) -> tuple[int, str]:
    """Place of a method in tables: the score first, the baselines, then others by name."""
    first = ("contribution", "activation", "gradient", "random")
    return (first.index(method), "") if method in first else (len(first), method)


def shared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many neurons every two rows have in common, int64 [one, other]; no row names a neuron twice."""
    from scipy import sparse

    known, places = np.unique(np.concatenate([one.ravel(), other.ravel()]), return_inverse=True)
    parts = []
    for rows, columns in ((one, places[: one.size]), (other, places[one.size :])):
        starts = np.arange(len(rows) + 1) * rows.shape[1]
        parts.append(sparse.csr_array((np.ones(rows.size, np.int64), columns, starts), shape=(len(rows), len(known))))
    return (parts[0] @ parts[1].T).toarray()


def by_image(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Mean of the values of each image, float64 [image]; values that are not known are left out."""
    known = ~np.isnan(values)
    names, places = np.unique(images[known], return_inverse=True)
    return np.bincount(places, values[known], minlength=len(names)) / np.bincount(places, minlength=len(names))


def shape(tokens: str) -> tuple[int, int]:
    """Layers and units per layer of the model behind a table of decoded neurons."""
    layers, units = pl.scan_parquet(tokens).select(pl.max("layer", "unit") + 1).collect().row(0)
    return layers, units


def frame(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Rows as a table; what a row does not have and what is not a number is left empty."""
    return pl.DataFrame(rows, schema=dict(schema)).with_columns(cs.float().fill_nan(None))
