"""What is tried on a noun's neurons and on as many random ones: noise, and setting them to zero (mm_neurons.md 2.9)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vlmscope.mm_neurons.perturb import noise
from vlmscope.mm_neurons.perturb.noise import Places
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.runs.columns import Added
from vlmscope.mm_neurons.runs.passes import Prompt
from vlmscope.mm_neurons.schemas import NOISE, ZERO
from vlmscope.models import answer

# Lists whose neurons are tried; others (those that lower a word, say) are left out.
METHODS = ("contribution", "activation", "gradient")


class Noun(NamedTuple):
    """A noun of a caption: its first token and the step at which it was written."""

    noun: str
    token: int
    step: int


@dataclass(frozen=True)
class Said:
    """A sample with what was said of it.

    tokens   of the caption, with the end token where it came to an end
    """

    sample: str
    prompt: Prompt
    tokens: tuple[int, ...]
    nouns: tuple[Noun, ...]


@dataclass(frozen=True)
class Trial:
    """What is done to the first k neurons of a list.

    said     number of the sample
    nouns    those that the list is of
    kind     noise: on their output weights; zero: they are set to zero
    sigma    of the noise, None where there is none
    places   neurons, as many as the largest k
    seed     of the noise
    """

    said: int
    nouns: tuple[Noun, ...]
    set: str
    activation: str
    draw: int
    kind: str
    k: int
    sigma: float | None
    places: Places
    seed: int

    def _first(self, k: int) -> Places:
        return self.places[0][:k], self.places[1][:k]

    def noise(self, d: int, sizes: np.ndarray | None) -> Added:
        """What is added to the weights; draws of several k and sigma are the same noise."""
        if self.sigma is None:
            return Added(*self._first(0), np.zeros((0, d), np.float32))
        places = self._first(self.k)
        return Added(*places, noise.rows(self.k, d, self.seed) * noise.scale(self.sigma, sizes, places))

    def zeroed(self) -> dict[int, list[int]]:
        """Units that are set to zero, by layer."""
        layers, units = self._first(self.k if self.kind == ZERO else 0)
        return {int(layer): units[layers == layer].tolist() for layer in np.unique(layers)}


def trials(
    said: Sequence[Said],
    found: Mapping[lists.Kind, Mapping[lists.Key, lists.Neurons]],
    shape: tuple[int, int],
    settings: Mapping[str, Any],
) -> list[Trial]:
    """Every change of every sample, sample by sample; random neurons once per sample, all else per noun.

    found      activation and method -> sample and noun -> neurons
    settings   kinds, sigmas, k, draws, noises, seed
    """
    done: list[Trial] = []
    most = min(max(settings["k"]), shape[0] * shape[1])
    for number, one in enumerate(said):
        for draw in range(settings["draws"]):
            seed = answer.seed_of(settings["seed"], one.sample, "random", draw)
            done += _sizes(number, one.nouns, ("random", ""), draw, noise.drawn(shape, most, seed), seed, settings)
        for noun in one.nouns:
            for kind, by_noun in found.items():
                if (one.sample, noun.noun) in by_noun:
                    listed = by_noun[one.sample, noun.noun]
                    done += _of_noun(number, one.sample, noun, kind, listed, shape[1], settings)
    return done


def _of_noun(
    number: int,
    sample: str,
    noun: Noun,
    kind: lists.Kind,
    listed: lists.Neurons,
    units: int,
    settings: Mapping[str, Any],
) -> Iterator[Trial]:
    """Its best neurons, and random ones in the layers of those that contribute most."""
    activation, method = kind
    most = max(settings["k"])
    best = listed.layer[:most].astype(np.int64), listed.unit[:most].astype(np.int64)
    names = (settings["seed"], sample, noun.noun, activation)
    for draw in range(settings["noises"]):
        seed = answer.seed_of(*names, method, draw)
        yield from _sizes(number, (noun,), (method, activation), draw, best, seed, settings)
    if method != "contribution":
        return
    for draw in range(settings["draws"]):
        seed = answer.seed_of(*names, "random_layers", draw)
        alike = noise.like(best[0], units, seed)
        yield from _sizes(number, (noun,), ("random_layers", activation), draw, alike, seed, settings)


def _sizes(
    number: int,
    nouns: tuple[Noun, ...],
    name: tuple[str, str],
    draw: int,
    places: Places,
    seed: int,
    settings: Mapping[str, Any],
) -> Iterator[Trial]:
    """Noise of every strength; the same neurons set to zero, which needs no draws but those of the neurons."""
    drawn = name[0] not in METHODS
    for k in settings["k"]:
        if k <= len(places[0]):
            if NOISE in settings["kinds"]:
                for sigma in settings["sigmas"]:
                    yield Trial(number, nouns, *name, draw, NOISE, k, sigma, places, seed)
            if ZERO in settings["kinds"] and (drawn or not draw):
                yield Trial(number, nouns, *name, draw, ZERO, k, None, places, seed)
