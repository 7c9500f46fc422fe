"""Examples: the best neurons of every noun by every method, with their words (mm_neurons.md 7)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Key, Kind, Neurons
from vlmscope.mm_neurons.schemas import CAPTIONS, NEURON_TOKENS
from vlmscope.store import tables

# One row per image, noun, activation, method and neuron; rank counts from 1, tokens are divided by bars: what the
# neuron raises when it is active above zero; negative: it was active below.
EXAMPLES = {
    "image_id": pl.String,
    "caption": pl.String,
    "noun": pl.String,
    "method": pl.String,
    "activation": pl.String,
    "rank": pl.Int32,
    "layer": pl.Int32,
    "unit": pl.Int32,
    "score": pl.Float32,
    "tokens": pl.String,
    "negative": pl.Boolean,
}
BAR = "|"
# Layer and unit.
Neuron = tuple[int, int]
# Columns of the lists as a table.
LISTED = {
    "sample": pl.String,
    "noun": pl.String,
    "rank": pl.Int32,
    "layer": pl.Int32,
    "unit": pl.Int32,
    "score": pl.Float32,
    "negative": pl.Boolean,
}


def flat(found: Mapping[Key, Neurons]) -> pl.DataFrame:
    """Lists as one table, `LISTED`; rank counts from 1."""
    if not found:
        return pl.DataFrame(schema=LISTED)
    lengths = [len(one.layer) for one in found.values()]
    names = [pl.Series([key[part] for key in found], dtype=pl.String) for part in (0, 1)]
    owner = pl.Series(np.repeat(np.arange(len(found)), lengths))
    columns = {name: np.concatenate([lists.column(one, name) for one in found.values()]) for name in lists.TYPES}
    ranks = np.concatenate([np.arange(1, length + 1) for length in lengths])
    data = {"sample": names[0].gather(owner), "noun": names[1].gather(owner), "rank": ranks, **columns}
    return pl.DataFrame(data).cast(LISTED)


def words(tokens: pl.DataFrame, end: str = "top") -> pl.DataFrame:
    """Layer, unit, tokens: what each neuron's output weights raise most, best first, empty texts and all.

    tokens   `schemas.NEURON_TOKENS`
    end      bottom: what they lower most
    """
    own = tokens.filter(pl.col("end") == end).sort("layer", "unit", "rank")
    return own.group_by("layer", "unit", maintain_order=True).agg(pl.col("token").alias("tokens"))


def texts(tokens: pl.DataFrame, neurons: Iterable[Neuron], end: str = "top") -> dict[Neuron, list[str]]:
    """Decoded tokens of some neurons by layer and unit."""
    chosen = pl.DataFrame(sorted(set(neurons)), {"layer": pl.Int32, "unit": pl.Int32}, orient="row")
    found = words(tokens.join(chosen, on=["layer", "unit"], how="semi"), end)
    return {(layer, unit): told for layer, unit, told in found.iter_rows()}


class Known:
    """Neurons of a page, each with its words once.

    tokens   `schemas.NEURON_TOKENS`
    """

    def __init__(self, tokens: pl.DataFrame) -> None:
        self.ends = {end: tokens.filter(pl.col("end") == end) for end in ("top", "bottom")}
        self.places: dict[tuple[Neuron, str], int] = {}

    def place(self, layer: int, unit: int, below: bool = False) -> int:
        """Number of a neuron in `rows`; with `below` of one that was active below zero, with the words it raised so."""
        key = (layer, unit), "bottom" if below else "top"
        return self.places.setdefault(key, len(self.places))

    def rows(self) -> list[list[Any]]:
        """Layer, unit, tokens of every neuron that was asked for."""
        told = {
            end: texts(tokens, [neuron for neuron, own in self.places if own == end], end)
            for end, tokens in self.ends.items()
        }
        return [[*neuron, told[end].get(neuron, [])] for neuron, end in self.places]


def kinds(paths: Sequence[str]) -> list[tuple[str, Kind]]:
    """File, activation and method of all lists: activations by the alphabet, methods as in other tables."""
    known = [
        (path, (activation, method))
        for path in paths
        for activation, methods in lists.about(path)["lists"].items()
        for method in methods
    ]
    return sorted(known, key=lambda one: (one[1][0], sets.rank(one[1][1])))


def table(captions: pl.DataFrame, tokens: pl.DataFrame, paths: Sequence[str], k: int) -> pl.DataFrame:
    """Examples of all images, `EXAMPLES`: by image, noun, activation, method, rank.

    paths   files of lists
    k       neurons per noun and method
    """
    told = captions.select("sample", "caption", pl.int_range(pl.len()).alias("image"))
    texts = words(tokens).with_columns(pl.col("tokens").list.join(BAR))
    whole = pl.concat([_part(path, kind, place, k) for place, (path, kind) in enumerate(kinds(paths))])
    joined = whole.join(told, on="sample").join(texts, on=["layer", "unit"], how="left")
    found = joined.sort("image", "noun", "kind", "rank").rename({"sample": "image_id"})
    return found.select(EXAMPLES.keys()).cast(EXAMPLES)


def _part(path: str, kind: Kind, place: int, k: int) -> pl.DataFrame:
    activation, method = kind
    return flat(lists.read(path, activation, method, k)).with_columns(
        kind=pl.lit(place), activation=pl.lit(activation), method=pl.lit(method)
    )


def from_files(*, captions: str, tokens: str, neurons: Sequence[str], k: int) -> pl.DataFrame:
    """Examples from the files of a model; `neurons` are files of lists."""
    return table(tables.read(captions, CAPTIONS), tables.read(tokens, NEURON_TOKENS), neurons, k)


def page(rows: pl.DataFrame, tokens: pl.DataFrame, images: int) -> dict[str, Any]:
    """Examples as plain lists: every noun of the first images with its neurons by activation and method.

    rows     `EXAMPLES`
    tokens   `schemas.NEURON_TOKENS`
    """
    chosen = rows["image_id"].unique(maintain_order=True).head(images)
    rows = rows.filter(pl.col("image_id").is_in(chosen.to_list()))
    known = Known(tokens)
    told = rows.select("activation", "method").unique(maintain_order=True).rows()
    places = {kind: place for place, kind in enumerate(told)}
    items: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        own = {"sample": row["image_id"], "caption": row["caption"], "noun": row["noun"], "lists": {}}
        item = items.setdefault((row["image_id"], row["noun"]), own)
        neurons = item["lists"].setdefault(places[row["activation"], row["method"]], [])
        neurons.append([known.place(row["layer"], row["unit"]), float(f"{row['score']:.4g}")])
    return {"kinds": [list(kind) for kind in told], "items": list(items.values()), "neurons": known.rows()}
