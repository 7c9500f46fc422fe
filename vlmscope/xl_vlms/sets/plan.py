"""Where the files behind a vector set lie: input functions of the rules."""

import re
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Sets:
    """Vector sets as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.sets, self.captures, self.models = config.xl_vlms.sets, config.captures, config.models
        self.imported, self.sides = config.xl_vlms.exchange.imported, config.xl_vlms.exchange.forced

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

    def importing(self) -> str:
        """Pattern of the models of which a set is read from such a file, each before its own sets alone."""
        sets = {model: "|".join(map(re.escape, files)) for model, files in self.imported.items() if files}
        return "|".join(rf"{re.escape(model)}(?=/vectors/(?:{names})\.h5)" for model, names in sets.items()) or "(?!)"

    def wanted(self, wildcards: Wildcards) -> tuple[str, str]:
        """Learn-to-steer files of the wanted answers of a model's task: train, val."""
        return self.sides[wildcards.model][wildcards.task].wanted

    def opposite(self, wildcards: Wildcards) -> tuple[str, str]:
        """Those of the opposite answers."""
        return self.sides[wildcards.model][wildcards.task].opposite

    def forcing(self) -> str:
        """Pattern of the models of which a task is read from such files, each before its own tasks alone."""
        tasks = {model: "|".join(map(re.escape, files)) for model, files in self.sides.items() if files}
        return "|".join(rf"{re.escape(model)}(?=/learned/(?:{names})/)" for model, names in tasks.items()) or "(?!)"

    def family(self, wildcards: Wildcards) -> str:
        """Architecture of a model."""
        return self.models[wildcards.model].family
