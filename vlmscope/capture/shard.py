"""One shard of a capture, from files to file."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from vlmscope import samples as table
from vlmscope.capture import batches, plan, run, steps
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs, placement
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.session import progress
from vlmscope.store import shards

log = logging.getLogger(__name__)

# How the prompt of every benchmark begins.
MARKED = "<image>\n"


def make(
    loaded: Loaded, *, raw: str, samples: str, settings: dict[str, Any], shard: int, batch: int, code: str, target: str
) -> None:
    """Run the shard's samples through the model and write what the takes keep.

    settings   the capture's settings: kind, prompt, begin, run, max_new_tokens, samples, vision_positions, shards, take
    """
    manifest = read_manifest(raw)
    own = plan.of_family(settings["take"], loaded.family)
    takes = plan.resolve(own, loaded.family, loaded.config, settings["run"])
    every = table.read(samples)
    chosen = batches.within_budget(every, loaded, settings["samples"], settings["vision_positions"])
    part = batches.of_shard(chosen, shard, settings["shards"])
    log.info("%d of %d samples within the budget, %d in this shard", len(chosen), len(every), len(part))

    benchmark, picture = base.load(settings["kind"]), batches.picture_of(manifest["root"])
    ask = prompts(loaded, benchmark, settings["prompt"], settings["begin"])
    stream = batches.prefill(loaded, part, ask, picture, batch)
    written, read = Answers(), partial(run.capture, loaded, takes)
    if settings["run"] == "generate":
        # Where the decoding steps pass all that is looked at, they are read themselves.
        decoding, around = steps.Steps(loaded, takes), nullcontext
        if steps.suffice(takes):
            read, around = decoding.capture, decoding.reading
        stream = written.noted(batches.answered(loaded, stream, settings["max_new_tokens"], around))
    kept = read(progress(stream, inputs.rounds(loaded, part, batch), "batches"))
    recipe = {
        "settings": settings,
        "model": loaded.about["fingerprint"],
        "precision": placement.precision(loaded.about),
        "family": loaded.family.name,
        "data": manifest["digest"],
        # Known here, where the model is; readers then need no model to tell which layers have no effect.
        "inert": {take.name: sorted(loaded.family.site(take.site).inert(loaded.config)) for take in takes},
        # Blocks of the decoder, so that readers can count them from the end.
        "blocks": loaded.family.site("resid_post").layers(loaded.config) if "resid_post" in loaded.family.sites else 0,
        "code": code,
    }
    groups = {one.take.name: one.arrays for one in kept}
    groups |= {shards.ANSWERS: written.arrays()} if settings["run"] == "generate" else {}
    shards.write(target, [one.sample for one in part], groups, recipe)


class Answers:
    """What was written, noted on the way to the takes."""

    def __init__(self) -> None:
        self.tokens: dict[int, list[int]] = {}
        self.ended: dict[int, int] = {}

    def noted(self, stream: Iterable[inputs.Batch]) -> Iterator[inputs.Batch]:
        """The batches as they come."""
        for batch in stream:
            ids, stops = batch.inputs["input_ids"].tolist(), batch.inputs["attention_mask"].sum(1).tolist()
            for place, row in enumerate(batch.rows):
                self.tokens[row] = ids[place][batch.starts[place] : stops[place]]
                self.ended[row] = batch.ended[place]
            yield batch

    def arrays(self) -> dict[str, np.ndarray]:
        """As they go into a shard (docs/formats.md)."""
        order = sorted(self.tokens)
        lengths = [len(self.tokens[row]) for row in order]
        return {
            "tokens": np.array([token for row in order for token in self.tokens[row]], dtype=np.int32),
            "sample": np.repeat(np.array(order, dtype=np.int32), lengths),
            "ended": np.array([self.ended[row] for row in order], dtype=np.int32),
        }


def prompts(loaded: Loaded, benchmark: Any, style: str, begin: str = "") -> Callable[[table.Sample], str]:
    """Prompt text of a sample: the benchmark's simple or full prompt; chat is the full one in the model's template.

    turn is chat with nothing between picture and words but what the checkpoint's own template puts there.
    talk is a whole conversation, for benchmarks that have some.
    begin   words that the answer is begun with, behind the prompt
    """
    if style == "talk":
        return _talks(loaded, benchmark)
    if style == "chat":
        return lambda one: loaded.family.chat(benchmark.prompt(one, "full"), begin)
    if style == "turn":
        return lambda one: loaded.family.turn(benchmark.prompt(one, "full").removeprefix(MARKED), begin)
    end = f" {begin}" if begin else ""
    return lambda one: loaded.family.worded(benchmark.prompt(one, style)) + end


def _talks(loaded: Loaded, benchmark: Any) -> Callable[[table.Sample], str]:
    """Whole conversations in the model's template."""
    if not hasattr(benchmark, "turns"):
        raise VlmscopeError(
            f"{benchmark.LABEL} has no conversations.",
            where="captures.*.prompt: talk",
            instead="a dataset of the kind llava_next_data or llava_json",
        )
    return lambda one: loaded.family.talk(benchmark.turns(one))
