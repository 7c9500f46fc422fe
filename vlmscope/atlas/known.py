"""What the systems know of some words before the model runs: directions, latents, neurons.

Notation: L blocks, d width of the stream, U units of a layer; b the block behind which the autoencoder reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.atlas import latents, neurons, states
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.look.catalogue import METHOD
from vlmscope.mm_neurons.rank import lists
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.xl_vlms.sets import modules, vectors


@dataclass(frozen=True)
class Scale:
    """A word's direction behind one block, and what counts as 0 and 1 along it.

    direction   float64 [d], of length one
    zero, one   where the means of the other words' states and of its own lie along it
    """

    direction: np.ndarray
    zero: float
    one: float

    def of(self, rows: np.ndarray) -> np.ndarray:
        """How far states [..., d] lie from the other words' mean to the word's own."""
        return (rows @ self.direction - self.zero) / (self.one - self.zero)


@dataclass(frozen=True)
class Units:
    """Some neurons.

    layer, unit   int64 [k]
    sign          float64 [k]   1, or -1 where a neuron writes its word with an activation below zero
    """

    layer: np.ndarray
    unit: np.ndarray
    sign: np.ndarray

    def names(self) -> list[str]:
        """As the released code prints them."""
        return [f"L{layer}.u{unit}" for layer, unit in zip(self.layer, self.unit, strict=True)]


@dataclass(frozen=True)
class Known:
    """All that is followed while the model runs.

    words       in the order of the sets
    scales      block -> word -> scale
    block       b
    length      mean length of the states behind block b that wrote the words
    covariance  float32 [M, d]   those states, from which random directions are drawn
    coder       the autoencoder
    latents     word -> latents that tell it, best first, with the area under the curve
    silent      as many other latents that fire at those states
    neurons     word -> its neurons
    others      word -> as many of the same layers that belong to no word
    domains     domain -> bool [L, U]
    """

    words: list[str]
    scales: Mapping[int, Mapping[str, Scale]]
    block: int
    length: float
    covariance: np.ndarray
    coder: Any
    latents: Mapping[str, Sequence[tuple[int, float]]]
    silent: Sequence[int]
    neurons: Mapping[str, Units]
    others: Mapping[str, Units]
    domains: Mapping[str, np.ndarray]

    def followed(self, site: str, layer: int) -> np.ndarray:
        """Units of a layer that are looked at, rising: words' neurons and others (mlp_hidden), domains' (mlp_gate)."""
        if site == "mlp_gate":
            return np.flatnonzero(np.logical_or.reduce([one[layer] for one in self.domains.values()]))
        every = [*self.neurons.values(), *self.others.values()]
        return np.unique(np.concatenate([one.unit[one.layer == layer] for one in every]))


def scales(groups: Mapping[str, np.ndarray]) -> dict[str, Scale]:
    """Directions of words with the places of their means.

    groups   word -> states [M, d]
    """
    means = {word: one.mean(axis=0, dtype=np.float64) for word, one in groups.items()}
    found = {}
    for word, direction in states.directions(groups).items():
        rest = np.mean([one for other, one in means.items() if other != word], axis=0)
        found[word] = Scale(direction, float(rest @ direction), float(means[word] @ direction))
    return found


def units(found: Mapping[lists.Key, lists.Neurons], word: str, shape: Sequence[int]) -> Units:
    """A word's stable neurons; the sign is that of most of its pictures."""
    members = neurons.word_members(found, [word], shape)[word]
    chosen = np.flatnonzero(neurons.stable(members, np.ones((1, len(members))))[0])
    below, seen = np.zeros(members.shape[1]), np.zeros(members.shape[1])
    for (_, noun), one in found.items():
        if noun.lower() == word:
            places = one.layer.astype(int) * shape[1] + one.unit
            below[places] += lists.column(one, "negative")
            seen[places] += 1
    sign = np.where(2 * below[chosen] > seen[chosen], -1.0, 1.0)
    return Units(chosen // shape[1], chosen % shape[1], sign)


def taken(every: Iterable[Units], shape: Sequence[int]) -> np.ndarray:
    """Neurons that belong to any word, bool [L, U]."""
    found = np.zeros(tuple(shape), bool)
    for one in every:
        found[one.layer, one.unit] = True
    return found


def others(own: Units, taken: np.ndarray, generator: np.random.Generator) -> Units:
    """As many neurons of each layer that belong to no word, the signs in another order; fewer where there are not."""
    layers, drawn = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for layer in np.unique(own.layer):
        left = np.flatnonzero(~taken[layer])
        drawn.append(generator.choice(left, min(int((own.layer == layer).sum()), len(left)), replace=False))
        layers.append(np.full(len(drawn[-1]), layer))
    layer, unit = np.concatenate(layers), np.concatenate(drawn)
    return Units(layer, unit, generator.permutation(own.sign)[: len(unit)])


def from_files(
    *,
    weights: str,
    train: Sequence[str],
    domain_neurons: str,
    shapes: str,
    word_neurons: str,
    words: Mapping[str, str],
    settings: Mapping[str, Any],
) -> Known:
    """Everything from the files of a model.

    words      vector set -> word
    settings   site, domains, activations, k, runs (latents, seed)
    """
    block, told = states.block(settings["site"]), settings["runs"]
    groups = {
        int(name.partition(".")[2]): states.read(train, train, words, name).train
        for name in modules.ordered(vectors.modules(train[0]))
        if name.startswith("block.")
    }
    here = groups[block]
    names, coder = list(words.values()), checkpoint.read(Path(weights).parent)
    acts = {word: latents.active(coder, one) for word, one in here.items()}
    paths = {"domain_neurons": domain_neurons, "shapes": shapes, "word_neurons": word_neurons}
    domains, _, shape = neurons.read_sets(words=names, settings=settings, **paths)
    found = lists.read(word_neurons, settings["activations"][-1], METHOD, settings["k"])
    telling = {
        word: latents.telling(acts[word], np.concatenate([acts[one] for one in names if one != word]), told["latents"])
        for word in names
    }
    chosen = {latent for pairs in telling.values() for latent, _ in pairs}
    firing = np.setdiff1d(np.flatnonzero(np.concatenate(list(acts.values())).any(axis=0)), sorted(chosen))
    generator = np.random.default_rng(told["seed"])
    every = np.concatenate(list(here.values()))
    own = {word: units(found, word, shape) for word in names}
    if bare := [word for word, one in own.items() if not len(one.unit)]:
        raise VlmscopeError(
            f"No neuron is among the {settings['k']} best of these words in half of their pictures: {', '.join(bare)}.",
            where="atlas.neurons.k",
            instead="more neurons",
        )
    return Known(
        words=names,
        scales={number: scales(one) for number, one in groups.items()},
        block=block,
        length=float(np.linalg.norm(every, axis=1).mean()),
        covariance=every,
        coder=coder,
        latents=telling,
        silent=generator.choice(firing, min(len(firing), len(chosen)), replace=False).tolist(),
        neurons=own,
        others={word: others(one, taken(own.values(), shape), generator) for word, one in own.items()},
        domains={name: one for name, one in domains.items() if name != neurons.ANY and one.any()},
    )
