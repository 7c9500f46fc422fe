"""Edits that turn one word of a model's captions into another: made, applied, measured (mm_neurons.md 2.11, 6.8)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmscope.mm_neurons.edit import cases as edit_cases
from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit import methods, optimise
from vlmscope.mm_neurons.edit.cases import Case, Chosen, Words
from vlmscope.mm_neurons.edit.files import Edit
from vlmscope.mm_neurons.edit.optimise import Row
from vlmscope.mm_neurons.runs import columns, passes, readings
from vlmscope.mm_neurons.runs.passes import Prompt
from vlmscope.mm_neurons.runs.readings import Place, Reading
from vlmscope.models import answer
from vlmscope.models.load import Loaded
from vlmscope.store.spelling import Spelling

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bench:
    """A model with what it says of some samples.

    prompts   by sample
    tokens    of the untouched captions, without the end token, by sample
    """

    loaded: Loaded
    spelled: Spelling
    prompts: Mapping[str, Prompt]
    tokens: Mapping[str, tuple[int, ...]]
    max_new_tokens: int
    batch: int

    def write(self, names: Sequence[str]) -> list[tuple[int, ...]]:
        """Captions as the model writes them now."""
        done: dict[int, tuple[int, ...]] = {}
        for rows in passes.batches([self.prompts[name] for name in names], self.batch):
            written = passes.write(self.loaded, [self.prompts[names[row]] for row in rows], self.max_new_tokens)
            done |= dict(zip(rows, map(tuple, written), strict=True))
        return [done[row] for row in range(len(names))]

    def text(self, tokens: Sequence[int]) -> str:
        """A caption as a text."""
        return answer.text_of(self.loaded, tokens)


@dataclass(frozen=True)
class Task:
    """One pair of words, the samples, and the places at which the edit has to work."""

    words: Words
    chosen: Chosen
    cases: tuple[Case, ...]


def task(bench: Bench, words: Words, chosen: Chosen) -> Task:
    """Occurrences of the source word in the captions that the edit is made from."""
    found = [
        case for sample in chosen.made for case in edit_cases.cases(sample, bench.tokens[sample], words, bench.spelled)
    ]
    return Task(words, chosen, tuple(found))


def make(bench: Bench, own: Task, method: str, settings: Mapping[str, Any]) -> Edit:
    """An edit by one of the methods; of no neuron where there is nothing to make it from.

    settings   neurons, and those of the method, see `plan`
    """
    ways = {"closed_form": _closed_form, "optimise": _optimised, "activation_shift": _shift}
    lacking = _lacking(bench, own, method)
    if lacking:
        log.warning("%s -> %s, %s: %s; the edit is empty", own.words.source, own.words.target, method, lacking)
    edit, told = _nothing(bench.loaded, lacking) if lacking else ways[method](bench, own, settings)
    about = {
        "source": own.words.source,
        "target": own.words.target,
        "method": method,
        "model": bench.loaded.about.get("fingerprint"),
        "family": bench.loaded.family.name,
        "settings": dict(settings),
        "samples": own.chosen.made,
        "places": len(own.cases),
        **told,
    }
    return Edit(edit.kind, edit.layer, edit.unit, edit.delta, about)


def _lacking(bench: Bench, own: Task, method: str) -> str:
    """What is missing for an edit, in words; "" for nothing."""
    if not own.cases:
        return f"no caption has '{own.words.source}'"
    if method == "activation_shift" and not _aims(bench, own):
        return f"no other caption has '{own.words.target}'"
    return ""


def _nothing(loaded: Loaded, why: str) -> tuple[Edit, dict[str, Any]]:
    none, width = np.zeros(0, np.int64), loaded.family.site("mlp_out").width(loaded.config)
    return Edit("rows", none, none, np.zeros((0, width), np.float32)), {"empty": why}


def _closed_form(bench: Bench, own: Task, settings: Mapping[str, Any]) -> tuple[Edit, dict[str, Any]]:
    at, loaded = _at(bench, own), bench.loaded
    places = methods.best(loaded, at, own.words.tokens[0], k=settings["neurons"], first=-settings["layers"])
    kept = readings.read(loaded, _kept(bench, own), bench.batch, places)
    gaps = methods.gaps(at, own.words.tokens)

    def of(margin: float) -> Edit:
        rises = gaps + margin * gaps.mean().clamp(min=0)
        weights = {key: settings[key] for key in ("preserve", "ridge")}
        made = methods.closed_form(loaded, at.of(places), kept, own.words.tokens, places, rises, **weights)
        return Edit("rows", made.layer, made.unit, made.rows, _whose(loaded))

    return _least(bench, own, "margin", settings["margins"], of)


def _shift(bench: Bench, own: Task, settings: Mapping[str, Any]) -> tuple[Edit, dict[str, Any]]:
    at, loaded = _at(bench, own), bench.loaded
    aimed = readings.read(loaded, _aims(bench, own), bench.batch)
    places = methods.movers(loaded, at, aimed, own.words.tokens, settings["neurons"])
    way = methods.direction(at, aimed, places)

    def of(strength: float) -> Edit:
        return Edit("shift", *places, np.float32(strength) * way, _whose(loaded))

    return _least(bench, own, "strength", settings["strengths"], of)


def _optimised(bench: Bench, own: Task, settings: Mapping[str, Any]) -> tuple[Edit, dict[str, Any]]:
    loaded, layers = bench.loaded, columns.shape(bench.loaded)[0]
    places = methods.best(
        loaded,
        _at(bench, own),
        own.words.tokens[0],
        k=settings["neurons"],
        last=max(1, layers - settings["without_last"]),
    )
    made, told = optimise.optimise(loaded, _rows(bench, own), places, settings, bench.batch)
    return Edit("rows", made.layer, made.unit, made.rows, _whose(loaded)), told


def _whose(loaded: Loaded) -> dict[str, Any]:
    return {"model": loaded.about.get("fingerprint")}


def _least(bench: Bench, own: Task, name: str, values: Sequence[float], of: Any) -> tuple[Edit, dict[str, Any]]:
    """The first edit that puts the target into every caption it is made from; else the one that does in most."""
    tried: list[tuple[float, float, Edit]] = []
    for value in values:
        edit = of(value)
        with edit_files.applied(bench.loaded, [edit]):
            captions = [bench.text(tokens) for tokens in bench.write(own.chosen.made)]
        share = float(np.mean([succeeds(caption, own.words) for caption in captions]))
        log.info("%s %g: %.0f%% of the captions it is made from", name, value, 100 * share)
        tried.append((share, value, edit))
        if share == 1:
            break
    share, value, edit = max(tried, key=lambda one: one[0])
    return edit, {name: value}


def succeeds(caption: str, words: Words) -> bool:
    """Whether a caption has the target and no longer the source."""
    return edit_cases.has(caption, words.target) and not edit_cases.has(caption, words.source)


# ---- places ------------------------------------------------------------------------------------------------------


def _at(bench: Bench, own: Task) -> Reading:
    """Places of the source word."""
    places = [Place(bench.prompts[one.sample], one.before + one.target, len(one.before)) for one in own.cases]
    return readings.read(bench.loaded, places, bench.batch)


def _aims(bench: Bench, own: Task) -> list[Place]:
    """Places of the target word in other captions."""
    alike = Words(own.words.target, own.words.target, own.words.targets, own.words.targets)
    return [
        Place(bench.prompts[sample], case.before + case.target, len(case.before))
        for sample in own.chosen.aims
        for case in edit_cases.cases(sample, bench.tokens[sample], alike, bench.spelled)
    ]


def _edited(own: Task, sample: str, tokens: Sequence[int]) -> tuple[tuple[int, ...], set[int]]:
    """A caption with the target in the places of the source, and the steps at which it then stands."""
    done, steps, rest = [], set(), list(tokens)
    for case in (one for one in own.cases if one.sample == sample):
        # What stands between two occurrences is the same in both captions.
        between = len(case.before) - len(done)
        done += rest[:between]
        rest = rest[between + len(case.source) :]
        steps |= set(range(len(done), len(done) + len(case.target)))
        done += case.target
    return tuple(done + rest), steps


def _kept(bench: Bench, own: Task) -> list[Place]:
    """Steps that shall stay as they are: those of other captions, and the other steps of the edited ones."""
    found = []
    for sample in [*own.chosen.kept, *own.chosen.made]:
        tokens, aimed = _edited(own, sample, bench.tokens[sample])
        found += [Place(bench.prompts[sample], tokens, step) for step in range(len(tokens) + 1) if step not in aimed]
    return found


def _rows(bench: Bench, own: Task) -> list[Row]:
    """The same as the optimiser reads it: every place in a row of its own."""
    rows = []
    for case in own.cases:
        _, aimed = _edited(own, case.sample, bench.tokens[case.sample])
        stays = tuple(step for step in range(len(case.before)) if step not in aimed)
        rows.append(Row(bench.prompts[case.sample], case.before + case.target, case.target, stays))
    for sample in own.chosen.kept:
        tokens = bench.tokens[sample]
        rows.append(Row(bench.prompts[sample], tokens, (), tuple(range(len(tokens) + 1))))
    return rows
