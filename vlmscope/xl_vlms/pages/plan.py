"""Which pages there are, and what they are made from: input functions of the rules."""

from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Pages:
    """Pages as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        own, made = config.xl_vlms.show, config.xl_vlms.dictionaries
        self.sets, self.captures, self.datasets = config.xl_vlms.sets, config.captures, config.datasets
        self.steer, self.styled, self.shift = config.xl_vlms.steer, config.xl_vlms.captions, config.xl_vlms.shift
        self.models, self.local = config.run.xl_vlms, own.local or made.sets[:1]
        self.concepts = own.concepts or {name: [made.main] for name in made.sets}

    def every(self) -> list[str]:
        """Pages of all headline models."""
        return [*self.dictionaries(), *(self._page(model, one) for model in self.models for one in self._more(model))]

    def dictionaries(self) -> list[str]:
        """Those of the dictionaries alone, which wait for no fine-tune and no steering."""
        found = [f"concepts_{name}_{method}" for name, methods in self.concepts.items() for method in methods]
        found += [f"local_{name}" for name in self.local]
        return [self._page(model, one) for model in self.models for one in found]

    def _more(self, model: str) -> list[str]:
        return [*(f"shift_panels_{tuned}_{name}" for tuned, name in self.shift.comparisons(model)), "steering"]

    def _page(self, model: str, name: str) -> str:
        return f"results/xl_vlms/{model}/{name}.html"

    def raw(self, wildcards: Wildcards) -> str:
        """Manifest of the pictures of a set."""
        return f"results/data/{self.sets[wildcards.set].dataset}/raw.json"

    def held_out(self, wildcards: Wildcards) -> str:
        """Sample table of a set's held-out side."""
        one = self.sets[f"{wildcards.set}-test"]
        return f"results/data/{one.dataset}/{self.captures[one.capture].split}.parquet"

    def written(self, wildcards: Wildcards) -> list[str]:
        """Vectors of both models of a comparison, which tell what they wrote; none where it is imported."""
        pair = next(one for one in self.shift.pairs if (one.original, one.tuned) == (wildcards.model, wildcards.tuned))
        if wildcards.set in pair.imported:
            return []
        return [f"results/xl_vlms/{name}/vectors/{wildcards.set}.h5" for name in (pair.original, pair.tuned)]

    def answered(self, wildcards: Wildcards) -> list[str]:
        """Answers under steering: rows, effects, sample table, manifest of the pictures."""
        home = f"results/xl_vlms/{wildcards.model}"
        rows = [f"{home}/steered/answers.parquet", f"{home}/steer_effects.csv"]
        return rows + self._asked(self.steer)

    def described(self, wildcards: Wildcards) -> list[str]:
        """Captions under steering: rows, effects, examples, sample table, manifest; none where there is no style."""
        home = f"results/xl_vlms/{wildcards.model}"
        names = ("steered/captions.parquet", "steer_captions.csv", "caption_examples.parquet")
        return [f"{home}/{name}" for name in names] + self._asked(self.styled) if self.styled.styles else []

    def _asked(self, own: Any) -> list[str]:
        return [f"results/data/{own.dataset}/{own.split}.parquet", f"results/data/{own.dataset}/raw.json"]
