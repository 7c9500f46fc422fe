"""Captions read once more with gradients: the gradient baseline and the exact parts of every noun's logit."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from vlmscope.capture import batches, shard
from vlmscope.datasets import base
from vlmscope.mm_neurons.rank import attribution, gradient, ranking, scores
from vlmscope.mm_neurons.rank.gradient import Place
from vlmscope.mm_neurons.rank.lists import Entry, write
from vlmscope.mm_neurons.schemas import ATTRIBUTION, CAPTIONS, NOUNS
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress
from vlmscope.store import tables

log = logging.getLogger(__name__)

# A row of the table of nouns.
Noun = dict[str, Any]
# The gate's activation would give the same lists, see `gradient`.
KIND = ("down_proj_input", "gradient")


def captioned(batch: Batch, samples: Sequence[Sample], tokens: dict[str, list[int]]) -> Batch:
    """A batch of prompts with the samples' captions behind them."""
    return batches.appended(batch, [tokens[samples[row].sample] for row in batch.rows])


def wanted(batch: Batch, samples: Sequence[Sample], nouns: dict[str, list[Noun]]) -> list[tuple[Place, Noun]]:
    """The nouns of a batch, rows of their table, and their places: a token is predicted one position earlier."""
    return [
        (Place(row, batch.starts[row] + noun["position"] - 1, noun["token"]), noun)
        for row, number in enumerate(batch.rows)
        for noun in nouns[samples[number].sample]
    ]


def of_batch(
    loaded: Loaded,
    batch: Batch,
    found: Sequence[tuple[Place, Noun]],
    *,
    reduce: gradient.Reduce,
    keep: int,
    attributed: int,
) -> tuple[list[Entry], pl.DataFrame]:
    """Lists of the gradient baseline, and rows of `schemas.ATTRIBUTION`, none where logits have no exact parts."""
    places, names = [place for place, _ in found], [(noun["sample"], noun["noun"]) for _, noun in found]
    exact = attribution.is_exact(loaded)
    traced = gradient.trace(loaded, batch, places, attribution.sites(loaded) if exact else {})
    table = pl.DataFrame(schema=ATTRIBUTION)
    if exact:
        table = attribution.table(names, attribution.of(loaded, places, traced), attributed)
    entries = []
    for number, effect in gradient.effects(loaded, batch, places, traced, reduce):
        neurons = ranking.listed(*scores.best(effect.flatten(), keep), gradient.active(traced, places[number]))
        entries.append(Entry(*KIND, *names[number], neurons))
    return entries, table


def from_files(
    loaded: Loaded,
    target: str,
    *,
    raw: str,
    samples: str,
    captions: str,
    nouns: str,
    settings: dict[str, Any],
    batch: int,
) -> pl.DataFrame:
    """Write the lists of the gradient baseline and give the table of exact parts, by sample.

    settings   kind, prompt, begin, reduce, keep_others, attributed
    """
    kept = tables.read(nouns, NOUNS).filter(status="kept")
    by_sample = {name: list(rows.iter_rows(named=True)) for (name,), rows in kept.group_by("sample")}
    tokens = dict(tables.read(captions, CAPTIONS).select("sample", "tokens").iter_rows())
    asked = [one for one in read(samples) if one.sample in by_sample]
    if not attribution.is_exact(loaded):
        log.warning("%s: a norm stands between its branches and the stream; no exact parts.", loaded.family.name)
    ask = shard.prompts(loaded, base.load(settings["kind"]), settings["prompt"], settings["begin"])
    stream = batches.prefill(loaded, asked, ask, batches.picture_of(read_manifest(raw)["root"]), batch)
    found: list[pl.DataFrame] = []

    def entries() -> Iterator[Entry]:
        told = {"reduce": settings["reduce"], "keep": settings["keep_others"], "attributed": settings["attributed"]}
        for one in progress(stream, inputs.rounds(loaded, asked, batch), "batches"):
            whole = captioned(one, asked, tokens)
            lists, table = of_batch(loaded, whole, wanted(whole, asked, by_sample), **told)
            found.append(table)
            yield from lists

    recipe = {"settings": settings, "model": loaded.about["fingerprint"]}
    write(target, entries(), recipe, [KIND])
    return _in_order(found, asked)


def _in_order(found: Sequence[pl.DataFrame], asked: Sequence[Sample]) -> pl.DataFrame:
    """Rows in the order of the samples: batches go by length."""
    table = pl.concat([pl.DataFrame(schema=ATTRIBUTION), *found])
    if table.is_empty():
        return table
    order = {one.sample: place for place, one in enumerate(asked)}
    return table.sort(pl.col("sample").replace_strict(order, return_dtype=pl.Int32), maintain_order=True)
