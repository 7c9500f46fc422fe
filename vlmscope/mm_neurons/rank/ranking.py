"""Neurons ranked for every noun of a caption, by contribution and by baselines (mm_neurons.md 2.6, 2.10).

Reads the captured activations at the position that wrote the noun's token; the model is not loaded. Notation as in
`scores`; neurons are counted through all layers, l I + i.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl
import torch
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.needs import TAKES
from vlmscope.mm_neurons.rank import lists, scores
from vlmscope.mm_neurons.rank.lists import METHODS, Entry, Neurons
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUNS
from vlmscope.models import written
from vlmscope.models.answer import seed_of
from vlmscope.models.base import Family, family
from vlmscope.session import progress
from vlmscope.store import files, rows, tables
from vlmscope.store.rows import Rows
from vlmscope.store.weights import Weights

log = logging.getLogger(__name__)

# Projections that are held at once, float32: 1 GB, 485 tokens of a 13 B model.
MOST_VALUES = 1 << 28


class Target(NamedTuple):
    """A noun and where its activations are.

    row     row of the capture at which its first token was written
    before  token that stands there, -1 where the prompt ends there
    tokens  its pieces, as far as the caption holds them one after the other; at least the first
    whole   the caption holds all of them
    """

    sample: str
    noun: str
    row: int
    before: int
    tokens: tuple[int, ...]
    whole: bool


def targets(captions: pl.DataFrame, nouns: pl.DataFrame) -> list[Target]:
    """The kept nouns in the order of their table."""
    written = {row["sample"]: row for row in captions.iter_rows(named=True)}
    return [_target(written[noun["sample"]], noun) for noun in nouns.filter(status="kept").iter_rows(named=True)]


def _target(caption: dict[str, Any], noun: dict[str, Any]) -> Target:
    place, text = noun["position"], caption["tokens"]
    before = text[place - 1] if place else -1
    whole = text[place : place + len(noun["tokens"])] == noun["tokens"]
    tokens = tuple(noun["tokens"]) if whole else (noun["token"],)
    return Target(noun["sample"], noun["noun"], caption["row"] + place, before, tokens, whole)


def check(target: Target, found: Rows) -> None:
    """Refuse a table of captions that was not made of this capture."""
    inside = target.row + len(target.tokens) <= len(found)
    if not inside or found.samples[found.sample[target.row]] != target.sample:
        there = "nothing" if not inside else found.samples[found.sample[target.row]]
        raise VlmscopeError(
            f"Row {target.row} of the capture should belong to {target.sample}, but holds {there}.",
            where="captions.parquet",
            instead="delete it and run snakemake again",
        )
    if target.before >= 0 and found.token[target.row] != target.before:
        raise VlmscopeError(
            f"The caption of {target.sample} is not the captured one: before '{target.noun}' stands another token.",
            where="captions.parquet",
            instead="delete it and run snakemake again",
        )


def projections(
    weights: Weights, kind: Family, layers: int, tokens: Sequence[int], *, precision: scores.Precision, fold_norm: bool
) -> dict[int, Tensor]:
    """Token -> projection [L, I]: one product per layer for all tokens.

    fold_norm   the gain of the final norm counts, which the released score leaves out [differs: mm_neurons.md 8 B19]
    """
    chosen = written.unembedding(weights, kind, fold_norm)[list(tokens)]
    columns = kind.site("mlp_hidden").columns
    parts = [
        scores.projection(weights.read(columns.replace("{l}", str(layer))), chosen, precision)
        for layer in range(layers)
    ]
    return dict(zip(tokens, torch.stack(parts, 1), strict=True))


def portions(wanted: Sequence[Target], most: int) -> Iterator[list[Target]]:
    """Targets in parts of at most `most` different tokens, or of one target."""
    part: list[Target] = []
    tokens: set[int] = set()
    for target in sorted(wanted, key=lambda one: one.tokens):
        if part and len(tokens | set(target.tokens)) > most:
            yield part
            part, tokens = [], set()
        part.append(target)
        tokens |= set(target.tokens)
    if part:
        yield part


def of_noun(
    target: Target,
    activations: Sequence[Tensor],
    projected: dict[int, Tensor],
    *,
    precision: scores.Precision,
    keep: int,
    keep_others: int,
    seed: int,
) -> Iterator[tuple[str, Neurons]]:
    """Method -> neurons of one noun.

    activations   one [L, I] per token of the target
    """
    parts = [
        scores.contribution(one, projected[token], precision)
        for one, token in zip(activations, target.tokens, strict=True)
    ]
    score, active = parts[0].flatten(), activations[0].float()
    if not torch.isfinite(score).all():
        raise VlmscopeError(
            f"The activations at '{target.noun}' of {target.sample} are not finite.",
            where="the capture behind mm_neurons",
            instead="models.*.dtype: bfloat16 or float32, which hold larger values than float16",
        )
    yield "contribution", listed(*scores.best(score, keep), active)
    negative, places = scores.best(-score, keep_others)
    yield "contribution_negative", listed(-negative, places, active)
    yield "activation", listed(*scores.best(active.flatten(), keep_others), active)
    places = _drawn(len(score), keep_others, seed_of(seed, target.sample, target.noun))
    yield "random", listed(score[places], places, active)
    if len(target.tokens) > 1:
        yield "multi_token", listed(*scores.best(torch.stack(parts).sum(0).flatten(), keep), active)


def _drawn(count: int, k: int, seed: int) -> Tensor:
    """Places without repetition; the same for every activation."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:k]


def listed(values: Tensor, places: Tensor, active: Tensor) -> Neurons:
    """A list of neurons, counted through all layers, with their scores.

    active   activations [L, I] where the noun's first token was written
    """
    units = active.shape[1]
    negative = active.flatten()[places] < 0
    return Neurons(*(one.numpy() for one in (places // units, places % units, values, negative)))


def entries(
    wanted: Sequence[Target], captured: dict[str, Rows], weights: Weights, kind: Family, settings: dict[str, Any]
) -> Iterator[Entry]:
    """Lists of every noun, by activation, portion and method.

    captured   activation -> its rows
    settings   precision, fold_norm, keep, keep_others, seed
    """
    if not wanted:
        return
    layers, units = next(iter(captured.values())).values(wanted[0].row).shape
    arithmetic = {key: settings[key] for key in ("precision", "fold_norm")}
    told = {key: settings[key] for key in ("precision", "keep", "keep_others", "seed")}
    for part in portions(wanted, max(1, MOST_VALUES // (layers * units))):
        tokens = sorted({token for target in part for token in target.tokens})
        projected = projections(weights, kind, layers, tokens, **arithmetic)
        for activation, found in captured.items():
            for target in progress(part, len(part), f"nouns by {activation}"):
                check(target, found)
                pieces = range(target.row, target.row + len(target.tokens))
                values = [torch.from_numpy(found.values(row)) for row in pieces]
                for method, neurons in of_noun(target, values, projected, **told):
                    yield Entry(activation, method, target.sample, target.noun, neurons)


def from_files(target: str, *, model: str, index: str, captions: str, nouns: str, settings: dict[str, Any]) -> None:
    """Write the lists of all nouns.

    settings   activations, precision, fold_norm, keep, keep_others, seed
    """
    about = files.read_json(model)
    weights, kind = Weights(about["folder"], about["dtype"]), family(about["family"])
    wanted = targets(tables.read(captions, CAPTIONS), tables.read(nouns, NOUNS))
    several = sum(len(one.tokens) > 1 for one in wanted)
    log.info("%d nouns, %d of several tokens", len(wanted), several)
    recipe = {"settings": settings, "model": about["fingerprint"], "capture": files.digest(index)}
    kinds = [(activation, method) for activation in settings["activations"] for method in METHODS]
    with contextlib.ExitStack() as opened:
        captured = {one: opened.enter_context(rows.opened(index, TAKES[one])) for one in settings["activations"]}
        lists.write(target, entries(wanted, captured, weights, kind, settings), recipe, kinds)
