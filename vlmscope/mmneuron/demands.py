"""Minutes that the jobs with a model ask for at paper scale, from the settings and the cost of a picture.

The numbers are those of mmneuron.md 10. TF = 1e12 floating-point operations; a pass is one prompt with its picture
through the whole model; an A100 does half of what it does at most.
"""

import math
from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any

# TF per pass: decoder, attention, tower. Families that are not listed count like LLaVA-NeXT, the larger one.
PASS = {"llava_next": 42.0, "instructblip": 1.8}
# TF per sample to read all positions of all layers through the head; InstructBLIP has 92 positions, LLaVA-NeXT 2,900.
HEAD = {"llava_next": 25.0, "instructblip": 25.0 * 92 / 2900}
# As many as `vlmscope.lens.CHANNELS`, which brings torch along; rules are read without it.
CHANNELS = 4
# TF per second. In 32 bit an A100 does a sixteenth.
SPEED = {"float16": 156.0, "bfloat16": 156.0, "float32": 9.75}
# Seconds per new token: the time to read the weights, whatever the number of rows; in 32 bit they are twice as long.
TOKEN = {"float16": 0.007, "bfloat16": 0.007, "float32": 0.014}
# Rows that are decoded together: `batch` of vlmscope.workflow.Resources.gpu at paper scale.
ROWS = 8
# To read up to 32 GB of weights and to start, minutes; how much slower than the above a job may be.
START, MARGIN = 15, 4


class Demands:
    """Minutes per rule, as functions of the wildcards.

    config     the whole configuration, typed
    portions   name of a portion -> its domains
    """

    def __init__(self, config: Any, portions: dict[str, list[str]]) -> None:
        self.config, self.settings, self.portions = config, config.mmneuron, portions

    def generate(self, wildcards: Wildcards) -> int:
        """Answers of the untouched model in one domain."""
        return self._answers(wildcards, self._samples(wildcards.domain, "val"))

    def generate_masked(self, wildcards: Wildcards) -> int:
        """Answers under every condition in one domain."""
        return self._answers(wildcards, self._samples(wildcards.domain, "val") * self._masks(wildcards))

    def perturb(self, wildcards: Wildcards) -> int:
        """Untouched, own and random neurons under every condition, other domains' under one."""
        own = self.settings.effects
        masks = 1 + self._masks(wildcards) * (1 + len(own.random_seeds)) + len(self.settings.domains) - 1
        return self._answers(wildcards, self._portion(wildcards, own.samples) * masks)

    def vary(self, wildcards: Wildcards) -> int:
        """Untouched, zero, mean, factors; every share of neurons with its random ones."""
        own = self.settings.vary
        masks = 3 + len(own.scales) + len(own.rates) * (1 + len(own.random_seeds))
        return self._answers(wildcards, self._portion(wildcards, own.samples) * masks)

    def lens(self, wildcards: Wildcards) -> int:
        """One pass per sample, and the head over all channels."""
        samples = self._samples(wildcards.domain, "train", self.settings.lens.samples)
        family, dtype = self._model(wildcards)
        head = CHANNELS * HEAD.get(family, HEAD["llava_next"])
        return _minutes(samples * (_pass(family) + head) / SPEED[dtype])

    def embed(self, wildcards: Wildcards) -> int:
        """One pass per picture of all domains."""
        pictures = sum(self._samples(name, "train", self.settings.pca.samples) for name in self.settings.domains)
        return self._answers(wildcards, pictures, written=False)

    def examples(self, wildcards: Wildcards) -> int:
        """One pass per picture; few samples again with every shown neuron zeroed by itself."""
        own, split = self.settings.examples, self.config.captures[self.settings.capture].split
        modules = {module for row in self._rows(wildcards) for module in row.modules}
        shown = own.neurons * len(modules) * len(self.settings.domains)
        passes = self._samples(wildcards.domain, split, own.samples) + own.zeroed * (1 + shown)
        return self._answers(wildcards, passes, written=False)

    def _answers(self, wildcards: Wildcards, passes: int, written: bool = True) -> int:
        """Minutes of passes that each write an answer, or none."""
        family, dtype = self._model(wildcards)
        tokens = self.settings.generate.max_new_tokens * written
        return _minutes(passes * (_pass(family) / SPEED[dtype] + tokens * TOKEN[dtype] / ROWS))

    def _model(self, wildcards: Wildcards) -> tuple[str, str]:
        model = self.config.models[wildcards.model]
        return model.family, model.dtype

    def _rows(self, wildcards: Wildcards) -> list[Any]:
        return self.settings.conditions.get(self._model(wildcards)[0], [])

    def _masks(self, wildcards: Wildcards) -> int:
        return sum(bool(row.modules) for row in self._rows(wildcards))

    def _samples(self, domain: str, split: str, most: float = math.inf) -> int:
        return min(self.config.datasets[domain].limit[split], most)

    def _portion(self, wildcards: Wildcards, most: int) -> int:
        return sum(self._samples(domain, "val", most) for domain in self.portions[wildcards.portion])


def _pass(family: str) -> float:
    return PASS.get(family, PASS["llava_next"])


def _minutes(seconds: float) -> int:
    """What is asked for, in full tens of minutes."""
    return 10 * math.ceil((START + MARGIN * seconds / 60) / 10)
