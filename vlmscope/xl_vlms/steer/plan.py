"""What the jobs of steering read, as functions of the configuration: input and params functions of the rules."""

import json
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any

ABLATIONS = ("n", "layer", "alpha", "tokens")
# What decides the answers, but for what is varied.
TRIED = (
    *("questions", "prompt", "max_new_tokens", "alphas", "control_alphas"),
    *("positions", "random", "shuffled", "seed"),
)


class Steering:
    """Which vectors there are, and what lies behind them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.own, self.vectors = config.xl_vlms.steer, config.xl_vlms.vectors
        self.sets, self.captures = config.xl_vlms.sets, config.captures
        self.headline = list(config.run.xl_vlms)

    def _used(self) -> list[str]:
        """Vector sets that vectors are made from."""
        sides = [side for one in self.vectors.values() for side in (one.base, one.target) if side]
        return list(dict.fromkeys(side.set for side in sides))

    def _files(self, wildcards: Wildcards, names: list[str]) -> list[str]:
        return [f"results/xl_vlms/{wildcards.model}/vectors/{name}.h5" for name in names]

    def _tables(self, names: list[str]) -> list[str]:
        found = [
            f"results/data/{one.dataset}/{self.captures[one.capture].split}.parquet"
            for one in (self.sets[name] for name in names)
        ]
        return list(dict.fromkeys(found))

    def made_from(self, wildcards: Wildcards) -> list[str]:
        """Files of the sets that vectors are made from."""
        return self._files(wildcards, self._used())

    def asked(self, wildcards: Wildcards) -> list[str]:
        """Sample tables behind them."""
        return self._tables(self._used())

    def released(self, wildcards: Wildcards) -> list[str]:
        """Files of the released code that vectors of a model are read from."""
        return sorted({one.file for one in self.own.imported.get(wildcards.model, {}).values()})

    def files(self, wildcards: Wildcards) -> list[str]:
        """All vectors of a model that are tried on questions."""
        swept = wildcards.model in self.own.sweep.models
        names = [name for name, one in self.vectors.items() if one.task != "caption" and (swept or not one.swept)]
        return [f"results/xl_vlms/{wildcards.model}/steering/{name}.safetensors" for name in names]

    def paired(self, wildcards: Wildcards) -> list[str]:
        """The set whose concepts are paired, where that is done."""
        return self._files(wildcards, [self.own.directions.set] if wildcards.model in self.own.sweep.models else [])

    def numbered(self, wildcards: Wildcards) -> list[str]:
        """A set that tells how many blocks the model has."""
        return self._files(wildcards, [self.own.directions.set])

    def separated(self, wildcards: Wildcards) -> list[str]:
        """The set whose states are told apart."""
        return self._files(wildcards, [self.own.separability.set])

    def separated_tables(self, wildcards: Wildcards) -> list[str]:
        """Sample table behind it."""
        return self._tables([self.own.separability.set])

    def making(self, wildcards: Wildcards) -> str:
        """Settings by which the vectors of a model are made, as canonical JSON."""
        sweep, swept = self.own.sweep, wildcards.model in self.own.sweep.models
        imported = {name: one.model_dump() for name, one in self.own.imported.get(wildcards.model, {}).items()}
        made = {
            "vectors": {name: one.model_dump() for name, one in self.vectors.items()},
            "swept": sweep.vectors if swept else [],
            "sizes": sweep.samples if swept else [],
            "draws": sweep.draws,
            "shuffled": self.own.shuffled,
            "seed": self.own.seed,
            "imported": imported,
        }
        return json.dumps(made, sort_keys=True)

    def trying(self, wildcards: Wildcards) -> str:
        """Settings by which a model's vectors are tried on questions, as canonical JSON."""
        swept = wildcards.model in self.own.sweep.models
        steer = self.own.model_dump(include=set(TRIED))
        if swept:
            steer |= {"sweep": self.own.sweep.model_dump(), "directions": self.own.directions.model_dump()}
        vectors = {name: one.model_dump(include={"task", "modules", "swept"}) for name, one in self.vectors.items()}
        return json.dumps({"vectors": vectors, "steer": steer, "swept": swept}, sort_keys=True)

    def ablated(self) -> list[str]:
        """Tables and figures of what is varied, of the headline models that it is varied for."""
        names = [f"ablation_{what}" for what in ABLATIONS] + ["directions"]
        models = [name for name in self.own.sweep.models if name in self.headline]
        return [
            f"results/xl_vlms/{model}/{name}.{kind}" for model in models for name in names for kind in ("csv", "png")
        ]
