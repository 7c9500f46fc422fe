"""Stages that work on a model, and which files tell what they cost, as functions of the configuration."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from vlmscope.mm_neurons.edit.plan import Edits

# The engine's wildcards; only attribute access is used.
Wildcards = Any

CAPTURE, RANK = "capture_shard", "mm_neurons_rank"
# Stage -> files below results/mm_neurons/MODEL, and the one that tells how many pictures it looked at.
WHOLE: dict[str, tuple[tuple[str, ...], str]] = {
    "mm_neurons_words": (("neuron_tokens.parquet",), ""),
    RANK: (("neurons.h5",), "captions.parquet"),
    "mm_neurons_attribute": (("gradient.h5", "attribution.parquet"), "captions.parquet"),
    "mm_neurons_maps": (("maps.h5",), "maps.h5"),
    "mm_neurons_shuffle": (("shuffled.parquet", "shuffled_neurons.h5", "shuffled_maps.h5"), "shuffled.parquet"),
    "mm_neurons_similarities": (("similarities.parquet",), ""),
    "mm_neurons_perturb": (("effects.parquet",), "effects.parquet"),
}


class Stage(NamedTuple):
    """What a stage left behind.

    benchmarks   the engine's measurements, one file per job
    files        what it wrote
    images       files whose different samples are the pictures that it looked at; none where it looks at none
    """

    benchmarks: Sequence[str]
    files: Sequence[str]
    images: Sequence[str] = ()


class Stages:
    """Input and params functions of the rule.

    config   the whole configuration, typed
    shards   names of the shards of the capture
    """

    def __init__(self, config: Any, edits: Edits, shards: Sequence[str]) -> None:
        own = config.mm_neurons
        self.edits, self.shards, self.source = edits, shards, (own.capture, own.dataset)
        self.imported = own.exchange.imported

    def of(self, model: str) -> dict[str, Stage]:
        """Stages of a model, in the order of the work; an imported one was neither captured nor ranked here."""
        home = f"results/mm_neurons/{model}"
        found = {CAPTURE: self._capture(model, home)}
        for name, (files, images) in WHOLE.items():
            looked = [f"{home}/{images}"] if images else []
            found[name] = Stage([f"benchmarks/{name}/{model}.tsv"], [f"{home}/{file}" for file in files], looked)
        found |= self._edits(model, home)
        skipped = (CAPTURE, RANK) if model in self.imported else ()
        return {name: stage for name, stage in found.items() if name not in skipped}

    def _capture(self, model: str, home: str) -> Stage:
        capture, dataset = self.source
        benchmarks = [f"benchmarks/{CAPTURE}/{model}-{capture}-{dataset}-{one}.tsv" for one in self.shards]
        files = [f"results/captures/{model}/{capture}/{dataset}/{one}.h5" for one in self.shards]
        return Stage(benchmarks, files, [f"{home}/captions.parquet"])

    def _edits(self, model: str, home: str) -> dict[str, Stage]:
        every, methods = self.edits.pairs, self.edits.methods
        single = [f"{pair}-{method}" for pair in every for method in methods]
        # A single edit has nothing to be stacked with.
        stacked = methods if len(every) > 1 else []
        rows = [f"{home}/edits/{name}.parquet" for name in single]
        both = [f"{home}/edits/stacked-{name}.parquet" for name in stacked]
        files = [f"{home}/edits/{name}.safetensors" for name in single] + rows
        names = {"mm_neurons_edit": single, "mm_neurons_edit_stack": stacked}
        found = {"mm_neurons_edit": (files, rows), "mm_neurons_edit_stack": (both, both)}
        return {
            stage: Stage([f"benchmarks/{stage}/{model}-{name}.tsv" for name in names[stage]], *found[stage])
            for stage, jobs in names.items()
            if jobs
        }

    def files(self, wildcards: Wildcards) -> list[str]:
        """All files of all stages, each once."""
        every = self.of(wildcards.model).values()
        return list(dict.fromkeys(path for stage in every for part in stage for path in part))

    def plan(self, wildcards: Wildcards) -> str:
        """Stages of a job's model, as JSON."""
        return json.dumps({name: stage._asdict() for name, stage in self.of(wildcards.model).items()})
