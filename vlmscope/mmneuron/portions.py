"""Which domains a job takes: all of them at tiny scale, where starting costs more than working, else one each."""

import json
from collections.abc import Callable
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Portions:
    """Domains by the name of their portion.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        domains = config.mmneuron.domains
        self.domains = {"all": list(domains)} if config.scale == "tiny" else {name: [name] for name in domains}

    @property
    def readers(self) -> list[str]:
        """Modules that read the domains' benchmarks, for code digests."""
        return sorted({f"vlmscope.datasets.{self.config.datasets[name].kind}" for name in self.config.mmneuron.domains})

    def raws(self, wildcards: Wildcards) -> list[str]:
        """Manifests of the official files."""
        return [f"results/data/{domain}/raw.json" for domain in self.domains[wildcards.portion]]

    def samples(self, wildcards: Wildcards) -> list[str]:
        """Sample tables that are asked about."""
        return [f"results/data/{domain}/val.parquet" for domain in self.domains[wildcards.portion]]

    def kinds(self, wildcards: Wildcards) -> str:
        """Domain and benchmark format of a portion in its order, as JSON."""
        return json.dumps({name: self.config.datasets[name].kind for name in self.domains[wildcards.portion]})

    def files(self, folder: str) -> Callable[[Wildcards], list[str]]:
        """Tables of all portions below a folder of a model's results."""

        def paths(wildcards: Wildcards) -> list[str]:
            return [f"results/mmneuron/{wildcards.model}/{folder}/{name}.parquet" for name in self.domains]

        return paths
