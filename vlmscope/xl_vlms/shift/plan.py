"""What the jobs of concept shift read, as functions of the configuration: input and params functions of the rules."""

import json
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any

FIGURES = tuple(
    "shift" + end for end in ("", "_t_overlap", "_iterations", "_alpha", "_keywords", "_k", "_layers", "_correlation")
)
TABLES = (*FIGURES, "shift_correlation_r")


class Shifts:
    """Which checkpoints are compared, and what lies behind them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.own, self.words = config.xl_vlms.shift, config.xl_vlms.dictionaries.words
        self.models, self.finetunes = config.models, config.finetunes
        self.headline = [name for name in config.run.xl_vlms if self.own.comparisons(name)]

    def tuned(self) -> list[str]:
        """Models that another one is compared with."""
        return list(dict.fromkeys(one.tuned for one in self.own.pairs))

    def originals(self) -> list[str]:
        """Models that others are compared with."""
        return list(dict.fromkeys(one.original for one in self.own.pairs))

    def compared(self, wildcards: Wildcards) -> list[str]:
        """Files of all comparisons with a model."""
        names = self.own.comparisons(wildcards.model)
        return [f"results/xl_vlms/{wildcards.model}/shifts/{tuned}-{name}.json" for tuned, name in names]

    def importing(self) -> list[str]:
        """Comparisons that are read from files of the released code, as they stand in paths."""
        return list(self._imported())

    def file(self, wildcards: Wildcards) -> str:
        """The file that one of them is read from."""
        pair, name = self._imported()[wildcards.comparison]
        return pair.imported[name]

    def about_imported(self, wildcards: Wildcards) -> str:
        """`about` of one of them."""
        return self._about(*self._imported()[wildcards.comparison])

    def _imported(self) -> dict[str, tuple[Any, str]]:
        """Place in paths -> pair, set."""
        return {
            f"{one.original}/shifts/{one.tuned}-{name}": (one, name) for one in self.own.pairs for name in one.imported
        }

    def steps(self, wildcards: Wildcards) -> list[str]:
        """Vectors of the models on the way to a fine-tuned one."""
        return [f"results/xl_vlms/{name}/vectors/{wildcards.set}.h5" for name in self._pair(wildcards).steps]

    def settings(self, wildcards: Wildcards) -> str:
        """How models are compared, with the lists of words, as canonical JSON."""
        told = self.own.model_dump(mode="json", exclude={"pairs"})
        return _canonical({**told, "word_list": self.words.words, "stop_list": self.words.stops})

    def about(self, wildcards: Wildcards) -> str:
        """Which models are compared: names, steps, words of the task, published counterpart, as canonical JSON."""
        return self._about(self._pair(wildcards), wildcards.set)

    def _about(self, pair: Any, name: str) -> str:
        told = {"model": pair.original, "tuned": pair.tuned, "set": name, "published": pair.published}
        steps = [self._step(name, place) for place, name in enumerate([*pair.steps, pair.tuned], 1)]
        return _canonical({**told, "steps": steps, "keywords": pair.keywords or self._phrased(pair.tuned)})

    def _pair(self, wildcards: Wildcards) -> Any:
        wanted = (wildcards.model, wildcards.tuned)
        return next(one for one in self.own.pairs if (one.original, one.tuned) == wanted)

    def _step(self, name: str, place: int) -> int:
        """Step whose weights a fine-tune has; another checkpoint counts by its place in the list."""
        model = self.models[name]
        if model.source != "finetune":
            return place
        return int(model.revision or self.finetunes[model.checkpoint].kept()[-1])

    def _phrased(self, name: str) -> list[str]:
        model = self.models[name]
        return phrased(self.finetunes[model.checkpoint]) if model.source == "finetune" else []


def phrased(finetune: Any) -> list[str]:
    """Words of which the phrases of a fine-tune hold one; empty where it takes all phrases."""
    if not finetune.word_class:
        return list(finetune.words)
    # Every job reads the rules anew; the classes bring numpy, and few configurations name one.
    from vlmscope.xl_vlms.words.classes import words_of

    return list(dict.fromkeys([*finetune.words, *words_of(finetune.word_class)]))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
