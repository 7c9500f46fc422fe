"""Which edits there are: names of pairs in paths, and what their jobs read, as functions of the configuration."""

import json
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any

# Settings that choose the samples, and those of each method: a changed one makes only what it decides anew.
CHOICE = ("images", "kept", "tested", "seed")
OWN = {
    "closed_form": ("layers", "margins", "preserve", "ridge"),
    "optimise": ("without_last", "steps", "rate", "stop", "alpha", "beta", "gamma"),
    "activation_shift": ("strengths",),
}


class Edits:
    """Input and params functions of the rules.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.own = own = config.mm_neurons.edit
        self.pairs = {one.name: {"source": one.source, "target": one.target} for one in own.pairs}
        self.methods = list(own.methods)

    def choice(self, wildcards: Wildcards) -> str:
        """Settings that choose the samples, as JSON."""
        return json.dumps({key: getattr(self.own, key) for key in CHOICE})

    def made(self, wildcards: Wildcards) -> str:
        """The same and those of the method, `neurons` being its own number, as JSON."""
        keys = (*CHOICE, *OWN[wildcards.method])
        return json.dumps(
            {"neurons": self.own.neurons[wildcards.method], **{key: getattr(self.own, key) for key in keys}}
        )

    def pair(self, wildcards: Wildcards) -> str:
        """The pair of a job, as JSON."""
        return json.dumps(self.pairs[wildcards.pair])

    def every_pair(self, wildcards: Wildcards) -> str:
        """All pairs, as JSON, in the order of `files`."""
        return json.dumps(list(self.pairs.values()))

    def files(self, wildcards: Wildcards) -> list[str]:
        """Edits of all pairs by one method."""
        folder = f"results/mm_neurons/{wildcards.model}/edits"
        return [f"{folder}/{pair}-{wildcards.method}.safetensors" for pair in self.pairs]

    def rows(self, wildcards: Wildcards) -> list[str]:
        """What was measured of every edit, alone first, then stacked."""
        folder = f"results/mm_neurons/{wildcards.model}/edits"
        names = [f"{pair}-{method}" for pair in self.pairs for method in self.methods]
        # A single edit has nothing to be stacked with.
        names += [f"stacked-{method}" for method in self.methods] if len(self.pairs) > 1 else []
        return [f"{folder}/{name}.parquet" for name in names]
