"""Edits from files to files: one pair by one method, or the edits of all pairs by one method at once."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.mm_neurons.edit import cases as edit_cases
from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit import measure
from vlmscope.mm_neurons.edit.cases import Chosen
from vlmscope.mm_neurons.edit.files import Edit
from vlmscope.mm_neurons.edit.making import Bench, Task, make, task
from vlmscope.mm_neurons.edit.plan import CHOICE
from vlmscope.mm_neurons.perturb.effects import prepared
from vlmscope.mm_neurons.schemas import CAPTIONS, EDITED
from vlmscope.models import answer
from vlmscope.models.load import Loaded
from vlmscope.store import tables
from vlmscope.store.spelling import spelling

log = logging.getLogger(__name__)

# Settings of one pair, `source` and `target`.
Pair = Mapping[str, str]


def single(
    loaded: Loaded,
    *,
    pair: Pair,
    method: str,
    files: Any,
    settings: Mapping[str, Any],
    edit: Mapping[str, Any],
    batch: int,
) -> tuple[Edit, pl.DataFrame]:
    """An edit and what it does by itself, `EDITED`.

    files      paths as attributes: model, raw, samples, captions
    settings   kind, prompt, begin, max_new_tokens of the capture
    edit       how it is made, see `plan`
    """
    bench, (own,) = _bench(loaded, [pair], files, settings, edit, batch)
    start = time.perf_counter()
    made = make(bench, own, method, edit)
    return made, measure.measured(bench, own, [made], "alone", round(time.perf_counter() - start, 3))


def stacked(
    loaded: Loaded,
    *,
    pairs: Sequence[Pair],
    edits: Sequence[str],
    files: Any,
    settings: Mapping[str, Any],
    choice: Mapping[str, Any],
    batch: int,
) -> pl.DataFrame:
    """What the edits of all pairs do at once, `EDITED`; captions that should stay have none of the source words.

    edits            files, in the order of the pairs
    files, settings  as above
    choice           how samples are chosen: as they were when the edits were made
    """
    bench, tasks = _bench(loaded, pairs, files, settings, choice, batch)
    made = [edit_files.read(path) for path in edits]
    sources = [one.words.source for one in tasks]
    rows = [pl.DataFrame(schema=EDITED)]
    for place, own in enumerate(tasks):
        others = [edit for number, edit in enumerate(made) if number != place]
        rows.append(measure.measured(bench, _without(own, sources, bench), [made[place], *others], "stacked"))
    return pl.concat(rows)


def _without(own: Task, sources: Sequence[str], bench: Bench) -> Task:
    """The same task; pictures whose caption another edit should change are none that should stay."""
    local = [
        sample
        for sample in own.chosen.local
        if not any(edit_cases.has(bench.text(bench.tokens[sample]), word) for word in sources)
    ]
    return Task(own.words, own.chosen._replace(local=local), own.cases)


def _bench(
    loaded: Loaded,
    pairs: Sequence[Pair],
    files: Any,
    settings: Mapping[str, Any],
    choice: Mapping[str, Any],
    batch: int,
) -> tuple[Bench, list[Task]]:
    """The model with the samples of some pairs, and what is to be done with them."""
    captions, spelled = tables.read(files.captions, CAPTIONS), spelling(files.model)
    chosen = [_chosen(captions, pair, choice) for pair in pairs]
    wanted = {sample for one in chosen for part in one for sample in part}
    told = {row["sample"]: row["tokens"] for row in captions.iter_rows(named=True) if row["sample"] in wanted}
    ready = prepared(loaded, list(told), raw=files.raw, samples=files.samples, settings=settings, batch=batch)
    ends = answer.ends(loaded)
    tokens = {sample: edit_cases.without_end(one, ends) for sample, one in told.items()}
    bench = Bench(loaded, spelled, dict(zip(told, ready, strict=True)), tokens, settings["max_new_tokens"], batch)
    words = [edit_cases.words(spelled, pair["source"], pair["target"]) for pair in pairs]
    return bench, [task(bench, both, one) for both, one in zip(words, chosen, strict=True)]


def _chosen(captions: pl.DataFrame, pair: Pair, choice: Mapping[str, Any]) -> Chosen:
    sizes = {key: choice[key] for key in CHOICE}
    chosen = edit_cases.choose(captions, pair["source"], pair["target"], **sizes)
    log.info("%s -> %s: %s", pair["source"], pair["target"], edit_cases.summary(chosen))
    return chosen
