"""Where the files behind a vector set lie: input functions of the rules."""

from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Sets:
    """Vector sets as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.sets, self.captures = config.xl_vlms.sets, config.captures
        self.imported = config.xl_vlms.exchange.imported

    def index(self, wildcards: Wildcards) -> str:
        """Index of the capture and dataset of a model's set."""
        one = self.sets[wildcards.set]
        return f"results/captures/{wildcards.model}/{one.capture}/{one.dataset}/index.json"

    def samples(self, wildcards: Wildcards) -> str:
        """Sample table behind that capture."""
        one = self.sets[wildcards.set]
        return f"results/data/{one.dataset}/{self.captures[one.capture].split}.parquet"

    def file(self, wildcards: Wildcards) -> str:
        """Feature file of the released code that a model's set is read from."""
        return self.imported[wildcards.model][wildcards.set]

    def importing(self) -> list[str]:
        """Models and sets that are read from such files, as they stand in paths."""
        return [f"{model}/vectors/{name}" for model, files in self.imported.items() for name in files]
