"""Scores of a name by what a judge makes of it: detection, fuzzing and simulation (EleutherAI's delphi), for pictures.

The judge knows the name and the pictures, never the latent. Names that say nothing score by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from PIL import Image

from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.explain.shown import HELD_OUT, SIDES, Chooser, Shown
from vlmscope.multimodal_sae.schemas import FOUND

# A moved region may keep this share of the place it had.
KEPT = 0.5
# Fewer graded pictures give no correlation.
LEAST = 3


class Judge(Protocol):
    """Says whether a description fits."""

    def judge(self, text: str, shown: Shown) -> int:
        """1, 0, or -1 where it cannot be told: what the active regions have in common."""
        ...

    def shows(self, text: str, image: int, picture: Image.Image) -> int:
        """The same, of whether a picture shows what a text names; `image` is its number in the cache."""
        ...

    def grade(self, text: str, image: int, picture: Image.Image) -> float:
        """How much of a picture shows what a text names, 0 to 10; -1 where it cannot be told."""
        ...


class Judged:
    """Asks a judge about the held-out pictures of one autoencoder.

    wanted   some of `FOUND`
    """

    def __init__(self, chooser: Chooser, judge: Judge, wanted: Sequence[str], seed: int) -> None:
        self.chooser, self.judge, self.wanted, self.seed = chooser, judge, wanted, seed
        self.held_out = np.flatnonzero(chooser.half == SIDES.index(HELD_OUT))

    def of(self, shown: Shown, text: str, other: str) -> dict[str, float | None]:
        """Every score of a name, and of another latent's name; None for those that are not wanted."""
        ways: dict[str, Callable[[Shown, str], float | None]] = {name: getattr(self, name) for name in FOUND}
        return {
            name + ending: way(shown, said) if name in self.wanted and said else None
            for name, way in ways.items()
            for ending, said in (("", text), ("_shuffled", other))
        }

    def detection(self, shown: Shown, text: str) -> float | None:
        """How often the judge tells pictures with the latent from as many without, by the name alone: 0.5 by chance.

        Mean of both shares of right answers; None where one side has no clear answer.
        """
        answers = []
        for images, right in ((shown.images, 1), (self.silent(shown), 0)):
            said = [self.judge.shows(text, image, self.chooser.picture(image)) for image in images]
            answers.append([one == right for one in said if one >= 0])
        return balanced(answers)

    def fuzzing(self, shown: Shown, text: str) -> float | None:
        """How often the judge tells the latent's regions from the same ones moved elsewhere: 0.5 by chance.

        Regions keep their shape and size, so that nothing but what they show can tell them apart. Pictures in which
        a region has no other place are left out.
        """
        generator = np.random.default_rng([self.seed, shown.latent, 1])
        answers: list[list[bool]] = [[], []]
        for image, values in zip(shown.images, shown.maps, strict=True):
            elsewhere = moved(values, generator)
            if elsewhere is None:
                continue
            for right, found in enumerate((elsewhere, values)):
                one = replace(shown, images=(image,), maps=found[None])
                said = self.judge.judge(text, one)
                answers[right] += [said == right] if said >= 0 else []
        return balanced(answers)

    def simulation(self, shown: Shown, text: str) -> float | None:
        """Correlation of what the judge expects in a picture by the name with the latent's mean over the first view.

        Pictures: those where it fires at even ranks, from the highest to the lowest, and as many where it is silent.
        A judge that expects the same of all of them has a correlation of 0.
        """
        rows = self.chooser.cache.pooled(shown.latent)
        kept = np.isin(rows["image"], self.held_out)
        ranked = examples.choose(rows["image"][kept], rows["mean"][kept], int(kept.sum()), self.chooser.cache.looks)
        places = np.unique(np.linspace(0, len(ranked) - 1, self.chooser.most).round().astype(int))
        true = {ranked[place].image: ranked[place].mean for place in places} | dict.fromkeys(self.silent(shown), 0.0)
        said = {image: self.judge.grade(text, image, self.chooser.picture(image)) for image in true}
        return correlation([(said[image], mean) for image, mean in true.items() if said[image] >= 0])

    def silent(self, shown: Shown) -> list[int]:
        """As many held-out pictures in which the latent never fires, at random."""
        fires = self.chooser.cache.pooled(shown.latent)["image"]
        others = np.setdiff1d(self.held_out, fires)
        generator = np.random.default_rng([self.seed, shown.latent])
        return generator.choice(others, min(len(shown.images), len(others)), replace=False).tolist()


def balanced(answers: Sequence[Sequence[bool]]) -> float | None:
    """Mean of the shares of right answers of both sides; None where a side has none."""
    return float(np.mean([np.mean(one) for one in answers])) if all(map(len, answers)) else None


def moved(values: np.ndarray, generator: np.random.Generator) -> np.ndarray | None:
    """A grid [side, side] shifted, around its edges, to where it meets itself least; None where it always does.

    Of several such shifts one is drawn.
    """
    active = (values >= examples.THRESHOLD).astype(np.float64)
    # How many patches meet after every shift: correlation of the grid with itself around its edges.
    spectrum = np.fft.rfft2(active)
    meeting = np.fft.irfft2(spectrum * spectrum.conj(), active.shape).round()
    if not active.any() or meeting.min() > KEPT * active.sum():
        return None
    shifts = np.argwhere(meeting == meeting.min())
    return np.roll(values, tuple(shifts[generator.integers(len(shifts))]), (0, 1))


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's, 0 where one side never changes; None of fewer than three."""
    if len(pairs) < LEAST:
        return None
    said, true = np.array(pairs, np.float64).T
    if not said.std() or not true.std():
        return 0.0
    return float(np.corrcoef(said, true)[0, 1])
