"""Where the files behind dictionaries lie: input functions of the rules."""

from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Plan:
    """Dictionaries as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.own, self.sets, self.captures = config.xl_vlms.dictionaries, config.xl_vlms.sets, config.captures
        self.models = config.run.xl_vlms
        self.dataset = self.sets[self.own.sets[0]].dataset

    def train(self, wildcards: Wildcards) -> list[str]:
        """Vectors that are decomposed, in the order of the sets."""
        return [f"results/xl_vlms/{wildcards.model}/vectors/{name}.h5" for name in self.own.sets]

    def test(self, wildcards: Wildcards) -> list[str]:
        """Vectors that are held out."""
        return [f"results/xl_vlms/{wildcards.model}/vectors/{name}-test.h5" for name in self.own.sets]

    def made(self, wildcards: Wildcards) -> list[str]:
        """Files of dictionaries."""
        return [f"results/xl_vlms/{wildcards.model}/dictionaries/{name}.h5" for name in self.own.sets]

    def raw(self, wildcards: Wildcards) -> str:
        """Manifest of the pictures, which all sets share."""
        return f"results/data/{self.dataset}/raw.json"

    def samples(self, wildcards: Wildcards) -> list[str]:
        """Sample tables with the captions of both sides."""
        found = {}
        for name in self.own.sets:
            for one in (self.sets[name], self.sets[f"{name}-test"]):
                found[f"results/data/{one.dataset}/{self.captures[one.capture].split}.parquet"] = None
        return list(found)

    def clip(self, wildcards: Wildcards) -> str:
        """Manifest of the model that compares words with pictures."""
        return f"results/models/{self.own.scores.clip}/model.json"

    def scorer(self, wildcards: Wildcards) -> list[str]:
        """Configuration of the model behind BERTScore; none where the stand-in is used."""
        return [f"{self.own.scores.bertscore}/config.json"] if self.own.scores.bertscore else []

    def of_models(self, kind: str) -> list[str]:
        """Files of all models that are compared: `dictionaries` or `vectors`, set by set."""
        return [f"results/xl_vlms/{model}/{kind}/{name}.h5" for name in self.own.sets for model in self.models]

    def imported(self, wildcards: Wildcards) -> str:
        """Analysis file of the released code of a model and set."""
        return self.own.imported[wildcards.model][wildcards.set]

    def importing(self) -> list[str]:
        """Dictionaries that are read from such files."""
        return [
            f"results/xl_vlms/{model}/dictionaries/imported/{name}.h5"
            for model, files in self.own.imported.items()
            for name in files
        ]
