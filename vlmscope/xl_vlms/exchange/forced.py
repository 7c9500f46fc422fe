"""States under forced answers from feature files of the learn-to-steer code, and such files from states.

A file is of one side: what was written under the wanted answers, or under the opposite ones. Of every sample and
module it has `{inputs: {last_raw_input}, outputs: {average, last_input}}`, each [1, D] (xl_vlms.md 2.11, 5.1).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope import samples as table
from vlmscope import selection
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.store import torch_files
from vlmscope.xl_vlms.exchange.features import IMAGES, STATES
from vlmscope.xl_vlms.learned import vectors as learned_vectors
from vlmscope.xl_vlms.learned.states import forcing
from vlmscope.xl_vlms.learned.vectors import SIDES, Forced
from vlmscope.xl_vlms.sets import modules

INPUT = ("inputs", "last_raw_input")


def read_all(
    targets: Sequence[str], *, wanted: Sequence[str], opposite: Sequence[str], samples: Sequence[str], settings: Any
) -> None:
    """Write states of every split.

    wanted, opposite, samples   a file each per split, in the order of the targets
    settings                    those of the step that would make the states: task, family
    """
    for target, one, other, rows in zip(targets, wanted, opposite, samples, strict=True):
        forced = read(one, other, table.read(rows), settings["task"], settings["family"])
        learned_vectors.write(forced, target, settings)


def read(wanted: str, opposite: str, samples: Sequence[Sample], task: Mapping[str, Any], family: str) -> Forced:
    """States of the samples that the files are of, the first ones of the table.

    task     xl_vlms.learned.tasks.*
    """
    output = ("outputs", task["shift"])
    context = states(wanted, task["context"], INPUT)
    sides = [states(path, task["module"], output) for path in (wanted, opposite)]
    if len({len(one) for one in (context, *sides)}) > 1:
        raise VlmscopeError("The files of the two sides are of different samples.", where=opposite)
    own = list(samples[: len(context)])
    told = [selection.stem(image) for image in _images(wanted)]
    if told != [selection.stem(one.images[0]) for one in own]:
        raise VlmscopeError(
            "The file is not of the first pictures of the dataset, in its order.",
            where=wanted,
            instead="the dataset that the features were made of (xl_vlms.learned.tasks.*.dataset)",
        )
    groups = [forcing(one, task, family).group for one in own]
    return Forced([one.sample for one in own], groups, context, *sides)


def states(path: str, module: str, part: tuple[str, str]) -> np.ndarray:
    """One state of every sample, float32 [N, D].

    module   any spelling; a file of one module is of that one where the number counts from the end
    """
    held = torch_files.read(path)
    try:
        entries = held[STATES]
        names = [name for name in entries[0] if modules.canonical(name) == modules.canonical(module)]
        if not names and "-" in modules.canonical(module) and len(entries[0]) == 1:
            names = list(entries[0])
        found = np.stack([one[names[0]][part[0]][part[1]].reshape(-1) for one in entries]).astype(np.float32)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise _unfit(path, f"it has no {'/'.join(part)} of {module} for every sample ({error})") from error
    if not np.isfinite(found).all():
        raise _unfit(path, "some of its states are no numbers")
    return found


def write_all(targets: Sequence[str], *, states_file: str, samples: Sequence[str], settings: Any) -> None:
    """Write the two sides as the learn-to-steer code does, with the one output that was kept."""
    forced, task = learned_vectors.read(states_file), settings["task"]
    images = {one.sample: one.images[0] for path in samples for one in table.read(path)}
    spelled = {key: modules.released(task[key], settings["family"]) for key in ("context", "module")}
    for side, target in zip(SIDES, targets, strict=True):
        entries: list[dict[str, Any]] = []
        for state, context in zip(getattr(forced, side), forced.context, strict=True):
            entry: dict[str, Any] = {name: {"inputs": {}, "outputs": {}} for name in spelled.values()}
            entry[spelled["context"]]["inputs"][INPUT[1]] = context[None]
            entry[spelled["module"]]["outputs"][task["shift"]] = state[None]
            entries.append(entry)
        content = {STATES: entries, IMAGES: [[images[name]] for name in forced.samples]}
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        torch_files.write(content, target)


def _images(path: str) -> list[str]:
    held = torch_files.read(path).get(IMAGES)
    found = [one[0] if isinstance(one, list) and one else one for one in held] if isinstance(held, list) else []
    if not found or not all(isinstance(one, str) for one in found):
        raise _unfit(path, "it has no list of pictures")
    return found


def _unfit(path: str, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The feature file does not fit: {why}.",
        where=path,
        instead="a file of the learn-to-steer code (docs/formats.md)",
    )
