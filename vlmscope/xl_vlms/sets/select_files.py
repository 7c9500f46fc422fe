"""Vector sets from captures: shards, answers and a tokenizer's file in, one file of vectors out. No model is loaded."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vlmscope import samples as table
from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.store import shards
from vlmscope.store.spelling import Spelling, spelling
from vlmscope.xl_vlms.sets import modules, needs, select, vectors
from vlmscope.xl_vlms.sets.select import Span, Written

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """A take that vectors are read from.

    name      its group in a shard
    columns   canonical name of a place -> layer in the group's values
    ready     each row is a vector as it stands
    """

    name: str
    columns: dict[str, int]
    ready: bool


class Gathered(NamedTuple):
    """Vectors of one shard: sample of each, and place -> [M, D]."""

    row: np.ndarray
    values: dict[str, np.ndarray]


def make(target: str, *, model: str, index: str, samples: str, name: str, settings: Mapping[str, Any]) -> None:
    """Write the vectors of a set.

    model      manifest of the model, for its tokenizer
    index      index of the capture and dataset
    samples    sample table behind it
    settings   the set as the configuration has it
    """
    about, settings = shards.read_index(index), needs.filled(settings)
    takes = about["recipe"]["settings"]["take"]
    spelled, answers = spelling(model), shards.read_answers(index)
    known = {one.sample: one for one in table.read(samples)}
    if missing := [one for one in about["samples"] if one not in known]:
        raise VlmscopeError(
            f"The capture has {len(missing)} samples that the sample table does not have, {missing[0]} for one.",
            where=samples,
            instead="snakemake --forcerun data_samples",
        )
    rows = [known[one] for one in about["samples"]]
    chosen = passing(settings, rows)
    parts, start = [], 0
    for shard in about["shards"]:
        with shards.open_shard(Path(index).parent / shard["file"]) as file:
            sources = sources_in(file, needs.check(takes, settings, name), settings)
            own = {row - start for row in chosen if start <= row < start + shard["samples"]}
            said = [answers[one.sample] for one in rows[start : start + shard["samples"]]]
            found = gathered(file, sources, own, said, settings, spelled)
            parts.append(Gathered(found.row + start, found.values))
        start += shard["samples"]
    joined = _joined(parts)
    _tell(name, len(rows), len(chosen), joined.row)
    vectors.write(
        target,
        samples=[one.sample for one in rows],
        texts=[spelled.text(answers[one.sample].tokens).strip() for one in rows],
        images=[one.images[0] for one in rows],
        row=joined.row,
        vectors=joined.values,
        layers=about["recipe"].get("blocks", 0),
        recipe={"set": name, "settings": dict(settings), "capture": about["recipe"], "released": {}},
    )


def passing(settings: Mapping[str, Any], rows: Sequence[table.Sample]) -> list[int]:
    """Rows of the samples that pass the set's filters, at most `cap` of them."""
    passes = select.counts(settings)
    found = [row for row, one in enumerate(rows) if passes(json.loads(one.answer))]
    return found[: settings["cap"] or None]


def sources_in(file: h5py.File, takes: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[Source]:
    """Groups that hold the set's states, each place once."""
    found, seen = [], set()
    for take in takes:
        site, _, layer = take["site"].rstrip("]").partition("[")
        single = bool(layer)
        lists = {key: tuple(take.get(key, ())) for key in ("words", "at")}
        name = Take(site, take["where"], take["keep"], (int(layer or 0),), single=single, **lists).name
        if name not in file:
            # A site of other families: the model left it out.
            continue
        layers = [int(layer)] if single else range(file[name]["values"].shape[1])
        columns = {modules.of_site(site, number): column for column, number in enumerate(layers)}
        own = {place: column for place, column in columns.items() if place not in seen}
        seen |= set(own)
        if own:
            found.append(Source(name, own, needs.is_ready(take, settings)))
    return found


def gathered(
    file: h5py.File,
    sources: Sequence[Source],
    chosen: set[int],
    answers: Sequence[shards.Answer],
    settings: Mapping[str, Any],
    spelled: Spelling,
) -> Gathered:
    """Vectors of one shard's chosen samples, by their number within it.

    Where a word stands is told by the answers alone, so a ready take and a take of all states give the same rows; a
    capture that took another of them fails here.
    """
    found: dict[str, np.ndarray] = {}
    row: np.ndarray | None = None
    for source in sources:
        group = file[source.name]
        if source.ready:
            owners = group["sample"][()]
            keep = np.isin(owners, sorted(chosen))
            own, values = owners[keep].astype(np.int64), _ready(group, source, keep)
        else:
            own, values = _averaged(group, source, chosen, answers, settings, spelled)
        if row is not None and not np.array_equal(row, own):
            raise VlmscopeError(
                f"The takes {[one.name for one in sources]} do not agree on where the vectors are.",
                where=str(file.filename),
                instead="one take of each place, in captures.*.take",
            )
        row, found = own, found | values
    return Gathered(np.zeros(0, np.int64) if row is None else row, found)


def _ready(group: h5py.Group, source: Source, keep: np.ndarray) -> dict[str, np.ndarray]:
    values = group["values"]
    return {place: values[:, column, :][keep] for place, column in source.columns.items()}


def _averaged(
    group: h5py.Group,
    source: Source,
    chosen: set[int],
    answers: Sequence[shards.Answer],
    settings: Mapping[str, Any],
    spelled: Spelling,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Means over the spans of every chosen sample."""
    owners, tokens = group["sample"][()], group["token"][()]
    first = np.searchsorted(owners, np.arange(len(answers) + 1))
    rows: list[int] = []
    bounds: list[Span] = []
    for number in sorted(chosen):
        begin, stop = int(first[number]), int(first[number + 1])
        own = tokens[begin:stop].tolist()
        for span in select.spans(settings, _written(answers[number], own, settings["search"]), spelled):
            rows.append(number)
            bounds.append((begin + span[0], begin + span[1]))
    return np.array(rows, np.int64), {
        place: means(group["values"][:, column, :], bounds) for place, column in source.columns.items()
    }


def _written(answer: shards.Answer, tokens: list[int], search: str) -> Written:
    """An answer with its prompt where the whole sequence is looked at.

    tokens   what stands at the states of the sample
    """
    prompt = tokens[: len(tokens) - len(answer.tokens)] if search == "whole" else []
    return Written(prompt, answer.tokens, answer.end)


def means(values: np.ndarray, bounds: Sequence[Span]) -> np.ndarray:
    """Means over spans of rows, [span, unit]; a span of one row is that row as it stands.

    values   [row, unit]
    """
    if all(stop - start == 1 for start, stop in bounds):
        return values[np.array([start for start, _ in bounds], np.int64)]
    wide = values.astype(np.float32)
    return np.stack([wide[start:stop].mean(0) for start, stop in bounds])


def _joined(parts: Sequence[Gathered]) -> Gathered:
    places = parts[0].values
    values = {place: np.concatenate([part.values[place] for part in parts]) for place in places}
    return Gathered(np.concatenate([part.row for part in parts]), values)


def _tell(name: str, total: int, chosen: int, row: np.ndarray) -> None:
    """What was found, and what was not: a sample without such a state has no vector (xl_vlms.md 8 #28)."""
    several = sum(count > 1 for count in Counter(row.tolist()).values())
    hit = len(set(row.tolist()))
    log.info(
        "%s: %d samples, %d pass the filters, %d have a vector, %d of them several; %d have none and are left out.",
        *(name, total, chosen, hit, several, chosen - hit),
    )
