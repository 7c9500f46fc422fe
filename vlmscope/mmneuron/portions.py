"""Which domains a job takes: all of them at tiny scale, where starting costs more than working, else one each.

Only jobs share a start that would all run again together: what they read, the neurons, comes from all domains.
"""

import json
from collections.abc import Callable
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Portions:
    """Domains by the name of their portion.

    A rule writes one table per portion (wildcard `portion`), or one per domain: `each` stands in its paths, `job` in
    the names of its log and benchmark, and where every domain has a job the wildcard is `domain`.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        domains, self.together = config.mmneuron.domains, config.scale == "tiny"
        self.domains = {"all": list(domains)} if self.together else {name: [name] for name in domains}
        self.each = list(domains) if self.together else ["{domain}"]
        self.job = "{model}" if self.together else "{model}-{domain}"

    @property
    def readers(self) -> list[str]:
        """Modules that read the benchmarks of a portion, for code digests."""
        return sorted({f"vlmscope.datasets.{self.config.datasets[name].kind}" for name in self.config.mmneuron.domains})

    @property
    def own_readers(self) -> list[str]:
        """The same for a rule whose wildcard is `domain`, with what `Layout.kinds` looks up."""
        return self.readers if self.together else ["vlmscope.datasets.{kind:domain}"]

    def of(self, wildcards: Wildcards) -> list[str]:
        """Domains of a job."""
        name = getattr(wildcards, "portion", None) or getattr(wildcards, "domain", None)
        return self.domains[name] if name else list(self.each)

    def raws(self, wildcards: Wildcards) -> list[str]:
        """Manifests of the official files."""
        return [f"results/data/{domain}/raw.json" for domain in self.of(wildcards)]

    def samples(self, wildcards: Wildcards) -> list[str]:
        """Sample tables that are asked about."""
        return self.tables("val")(wildcards)

    def tables(self, split: str) -> Callable[[Wildcards], list[str]]:
        """Sample tables of a split."""
        return lambda wildcards: [f"results/data/{domain}/{split}.parquet" for domain in self.of(wildcards)]

    def kinds(self, wildcards: Wildcards) -> str:
        """Domain and benchmark format of a portion in its order, as JSON."""
        return json.dumps({name: self.config.datasets[name].kind for name in self.of(wildcards)})

    def files(self, folder: str) -> Callable[[Wildcards], list[str]]:
        """Tables of all portions below a folder of a model's results."""

        def paths(wildcards: Wildcards) -> list[str]:
            return [f"results/mmneuron/{wildcards.model}/{folder}/{name}.parquet" for name in self.domains]

        return paths
