"""States of prompts that go on with an answer they are given: what a vector per sample is made of (xl_vlms.md 2.11)."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlmscope import samples as table
from vlmscope.capture import batches, taps
from vlmscope.capture import run as passes
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress
from vlmscope.xl_vlms.learned import safety
from vlmscope.xl_vlms.learned.safety import Forcing
from vlmscope.xl_vlms.learned.vectors import SIDES, Forced
from vlmscope.xl_vlms.sets import modules

log = logging.getLogger(__name__)

SITE = "resid_post"


class Plan(NamedTuple):
    """Where states are read.

    context     block whose state of the prompt the net reads
    block       block behind which is steered
    average     mean over the forced answer; else the state of its last token
    at_answer   the state that the net reads is that at the first token of the wanted answer, as released; else that at
                the last token of the prompt [differs: xl_vlms.md 2.11]
    """

    context: int
    block: int
    average: bool
    at_answer: bool


class Asked(NamedTuple):
    """A sample with its prompt, and what the prompt goes on with.

    prompt   as the model is asked in the end
    longer   with the suffix; the forced answers stand behind it
    """

    sample: Sample
    prompt: str
    longer: str
    forced: Forcing


def plan(task: Mapping[str, Any], layers: int) -> Plan:
    """Of a task's settings and a model's number of blocks."""
    context, block = (modules.site_and_layer(task[key], layers)[1] for key in ("context", "module"))
    return Plan(context, block, task["shift"] == "average", task["context_at"] == "first_answer")


def forcing(one: Sample, task: Mapping[str, Any], family: str) -> Forcing:
    """What a sample's prompt goes on with: the right answer and the opposite one."""
    known = json.loads(one.answer)
    if task["kind"] == "safety":
        return safety.forcing(known["scenario"], family)
    yes, no = task["completions"]
    right = known["answer"] == "yes"
    return Forcing("", yes if right else no, no if right else yes, known["answer"])


def asked(loaded: Loaded, benchmark: Any, samples: Sequence[Sample], task: Mapping[str, Any]) -> list[Asked]:
    """Samples with their prompts in the model's template."""
    ask, found = prompts(loaded, benchmark, task["prompt"]), []
    for one in samples:
        told = forcing(one, task, loaded.family.name)
        found.append(Asked(one, ask(one), ask(replace(one, question=one.question + told.suffix)), told))
    return found


def completion(loaded: Loaded, text: str, begin: str) -> list[int]:
    """Tokens of an answer behind a prompt, as they are when the model goes on with it."""
    gap = "" if text[-1].isspace() else loaded.family.gap
    alone, longer = (loaded.processor.tokenizer(one).input_ids for one in (text, text + gap + begin))
    if longer[: len(alone)] != alone or len(longer) == len(alone):
        raise VlmscopeError(
            f"The answer '{begin}' does not stand behind the prompt as tokens of its own.",
            where="xl_vlms.learned.tasks.*.completions",
            instead="an answer that begins with a letter",
        )
    return longer[len(alone) :]


def states(
    loaded: Loaded, every: Sequence[Asked], picture: Callable[[Sample], Any], where: Plan, batch: int
) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
    """(sample, (context [D], state under the wanted [D] and under the opposite answer [D])), in no order."""
    for rows in inputs.batches(loaded, [one.longer for one in every], [one.sample for one in every], batch):
        some = [every[row] for row in rows]
        pictures = [picture(one.sample) for one in some]
        longer = inputs.Batch(rows, inputs.encode(loaded, [one.longer for one in some], pictures, side="right"))
        found = []
        for side in SIDES:
            answers = [completion(loaded, one.longer, getattr(one.forced, side)) for one in some]
            found.append(_read(loaded, batches.appended(longer, answers), where))
        (context, wanted), (_, opposite) = found
        if any(one.forced.suffix for one in some):
            # The net reads what the model is asked in the end, without the suffix.
            plain = inputs.Batch(rows, inputs.encode(loaded, [one.prompt for one in some], pictures, side="right"))
            answers = [completion(loaded, one.prompt, one.forced.wanted) for one in some]
            context, _ = _read(loaded, batches.appended(plain, answers), where)
        yield from zip(rows, zip(context, wanted, opposite, strict=True), strict=True)


@torch.inference_mode()
def _read(loaded: Loaded, batch: inputs.Batch, where: Plan) -> tuple[np.ndarray, np.ndarray]:
    """State of the prompt, and of the answer behind it, float32 [sample, D] each."""
    seen: dict[int, Tensor] = {}
    layers = sorted({where.context, where.block})
    with taps.reading(loaded, loaded.family.site(SITE), layers, seen.__setitem__):
        passes.forward(loaded, batch)
    ends = batch.inputs["attention_mask"].sum(1).tolist()
    context, behind = [], []
    for row, (start, end) in enumerate(zip(batch.starts, ends, strict=True)):
        context.append(seen[where.context][row, start if where.at_answer else start - 1])
        behind.append(seen[where.block][row, (start if where.average else end - 1) : end].float().mean(0))
    first, second = (torch.stack(one).float().cpu().numpy() for one in (context, behind))
    return first, second


def from_files(
    loaded: Loaded, *, raw: str, samples: Sequence[str], settings: Mapping[str, Any], batch: int
) -> list[Forced]:
    """States of the first samples of some splits.

    samples    a table per split
    settings   kind of the dataset, task (xl_vlms.learned.tasks.*), most (samples per split)
    """
    task, found = settings["task"], []
    where = plan(task, loaded.family.site(SITE).layers(loaded.config))
    benchmark, picture = base.load(settings["kind"]), batches.picture_of(read_manifest(raw)["root"])
    for path, most in zip(samples, settings["most"], strict=True):
        every = asked(loaded, benchmark, table.read(path)[:most], task)
        stream = states(loaded, every, picture, where, batch)
        found.append(_gathered(every, dict(progress(stream, len(every), "samples"))))
    return found


def _gathered(every: Sequence[Asked], found: Mapping[int, tuple[np.ndarray, ...]]) -> Forced:
    """States in the order of the samples."""
    log.info("%d samples; forced: %s", len(every), sorted({(one.forced.wanted, one.forced.opposite) for one in every}))
    parts = [np.array([found[row][place] for row in range(len(every))], dtype=np.float32) for place in range(3)]
    return Forced([one.sample.sample for one in every], [one.forced.group for one in every], *parts)
