"""What is tried out on every question: a list of conditions, each one way to steer or none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.steer import vectors as directions
from vlmscope.xl_vlms.steer.files import Steering
from vlmscope.xl_vlms.steer.source import Source, block_of


@dataclass(frozen=True)
class Condition:
    """One way to steer.

    kind        none; vector; gated, only on questions near those of the vector; controls random and shuffled; what is
                varied: alpha, layer, tokens, n; pair, from one concept to another; random_pair, their control
    vector      its name; i-j for pairs
    block       number of the decoder block behind which it is added
    positions, start   as in `pushes.Push`; a start of 0 stands for the first position behind the picture
    n_samples   samples of base and of target; 0 for all
    direction   float32 [D]; None for no steering
    concepts    float32 [K, D] and bool [K], of gated ones
    """

    kind: str
    vector: str = ""
    block: int = -1
    alpha: float = 0.0
    positions: str = "all"
    start: int = 0
    draw: int = 0
    n_samples: int = 0
    direction: np.ndarray | None = field(default=None, repr=False, compare=False)
    concepts: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False, compare=False)

    def holds(self, states: np.ndarray) -> np.ndarray:
        """Whether samples are steered, by the states that write their first token [sample, D]: bool [sample]."""
        if self.concepts is None:
            return np.full(len(states), self.direction is not None)
        concepts, is_open = self.concepts
        return is_open[directions.nearest(states, concepts)]


def number(block: str) -> int:
    """`block.31` -> 31."""
    return int(block.removeprefix("block."))


def planned(found: Mapping[str, Steering], settings: Mapping[str, Any], swept: bool) -> list[Condition]:
    """Conditions of all vectors, no steering first; each once.

    settings   vectors (xl_vlms.vectors) and steer (xl_vlms.steer)
    swept      whether things are varied too
    """
    steer, every = settings["steer"], [Condition("none")]
    for name, one in settings["vectors"].items():
        if one["task"] == "caption" or (one["swept"] and not swept):
            continue
        for module in one["modules"]:
            every += of_vector(name, found[name], module, steer)
    if swept:
        for name in steer["sweep"]["vectors"]:
            every += _varied(name, found[name], settings["vectors"][name]["modules"][0], steer)
    return every


def of_vector(name: str, made: Steering, module: str, steer: Mapping[str, Any]) -> Iterator[Condition]:
    """The vector itself at every strength, gated where it has a gate, and its controls."""
    block = block_of(list(made.vector), module, made.about["layers"], name)
    place, vector = {"vector": name, "block": number(block), "positions": steer["positions"]}, made.vector[block]
    for alpha in steer["alphas"]:
        yield Condition("vector", **place, alpha=alpha, direction=vector)
        if made.concepts:
            gate = made.concepts[block], made.open[block]
            yield Condition("gated", **place, alpha=alpha, direction=vector, concepts=gate)
    drawn = {"random": directions.random_like(vector, steer["random"], steer["seed"])}
    drawn |= {"shuffled": made.shuffled[block][: steer["shuffled"]]} if made.shuffled else {}
    for kind, several in drawn.items():
        for draw, one in enumerate(several):
            for alpha in steer["control_alphas"]:
                yield Condition(kind, **place, alpha=alpha, draw=draw, direction=one)


def _varied(name: str, made: Steering, module: str, steer: Mapping[str, Any]) -> Iterator[Condition]:
    """One thing at a time, at strength 1 and the first of the vector's modules."""
    sweep, block = steer["sweep"], block_of(list(made.vector), module, made.about["layers"], name)
    place, usual = {"vector": name, "block": number(block)}, {"positions": steer["positions"]}
    for alpha in sweep["alphas"]:
        yield Condition("alpha", **place, **usual, alpha=alpha, direction=made.vector[block])
    for other, vector in made.vector.items():
        yield Condition("layer", name, number(other), 1.0, **usual, direction=vector)
    for positions in sweep["positions"]:
        start = sweep["start"] if positions == "from" else 0
        yield Condition("tokens", **place, positions=positions, start=start, alpha=1.0, direction=made.vector[block])
    for n, by_block in made.fewer.items():
        for draw, one in enumerate(by_block[block]):
            yield Condition("n", **place, **usual, alpha=1.0, n_samples=n, draw=draw, direction=one)


def pairs(source: Source, settings: Mapping[str, Any]) -> list[Condition]:
    """From every concept of a set to every other; random directions of their mean length first.

    settings   xl_vlms.steer
    """
    own = settings["directions"]
    block = source.block(own["set"], own["module"])
    values = source.whole(own["set"], block).values
    concepts = dictionary.fit(values, "kmeans", own["k"], seed=settings["seed"]).concepts
    shifts = directions.pairs(concepts)
    place = {"block": number(block), "alpha": own["alpha"], "positions": settings["positions"]}
    lengths = np.linalg.norm(shifts[~np.eye(len(shifts), dtype=bool)], axis=1)
    usual = directions.random_like(
        np.full(shifts.shape[-1], lengths.mean() / shifts.shape[-1] ** 0.5), settings["random"], settings["seed"]
    )
    controls = [Condition("random_pair", **place, draw=draw, direction=one) for draw, one in enumerate(usual)]
    return controls + [
        Condition("pair", f"{i}-{j}", **place, direction=shifts[i, j])
        for i in range(len(shifts))
        for j in range(len(shifts))
        if i != j
    ]
