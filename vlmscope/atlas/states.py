"""States that wrote words, and the direction of each word among them.

Notation: d width of the stream. The direction of a word is the mean of its states less the mean of the other words'
means, of length one: what is the word's own, without what all states have in common.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.sets import vectors

# Fewer states make no direction.
FEWEST = 4


class States(NamedTuple):
    """States behind one block.

    train   word -> float32 [M, d]
    test    word -> float32 [T, d], of other pictures
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]

    @property
    def words(self) -> list[str]:
        """In the order of the sets."""
        return list(self.train)


def read(train: Sequence[str], test: Sequence[str], words: Mapping[str, str], module: str) -> States:
    """States of all words at one place.

    words    vector set -> word, in the order of the files
    module   block.N
    """
    sides = []
    for paths in (train, test):
        found = {word: vectors.read(path, module).values for word, path in zip(words.values(), paths, strict=True)}
        few = [f"{word} ({len(one)})" for word, one in found.items() if len(one) < FEWEST]
        if few:
            raise VlmscopeError(
                f"Too few states wrote these words: {', '.join(few)}.",
                where="atlas.sets",
                instead=f"words that at least {FEWEST} captions of either side have",
            )
        sides.append(found)
    return States(*sides)


def block(site: str) -> int:
    """Number of the block behind which an autoencoder reads: 24 of `resid_post[24]`."""
    return int(site.partition("[")[2].rstrip("]"))


def own_directions(means: np.ndarray) -> np.ndarray:
    """Directions of words from the means of their states: float64 [..., word, d], of length one.

    means   [..., word, d]
    """
    count = means.shape[-2]
    rest = (means.sum(axis=-2, keepdims=True) - means) / (count - 1)
    return unit(means - rest)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one; rows without a length stay."""
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-30)


def directions(groups: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Word -> its direction, float64 [d].

    groups   word -> states [M, d]
    """
    means = np.stack([one.mean(axis=0, dtype=np.float64) for one in groups.values()])
    return dict(zip(groups, own_directions(means), strict=True))


def resampled(groups: Mapping[str, np.ndarray], draws: int, generator: np.random.Generator) -> np.ndarray:
    """Directions when the states of each word are drawn anew: float64 [draw, word, d]."""
    means = []
    for one in groups.values():
        weights = generator.multinomial(len(one), np.full(len(one), 1 / len(one)), draws)
        means.append(weights @ one.astype(np.float64) / len(one))
    return own_directions(np.stack(means, axis=1))


def shuffled(groups: Mapping[str, np.ndarray], draws: int, generator: np.random.Generator) -> np.ndarray:
    """Directions when states are dealt to the words at random: float64 [draw, word, d]."""
    every = np.concatenate(list(groups.values())).astype(np.float64)
    cuts = np.cumsum([len(one) for one in groups.values()])[:-1]
    means = [
        [part.mean(axis=0) for part in np.split(every[generator.permutation(len(every))], cuts)] for _ in range(draws)
    ]
    return own_directions(np.array(means))


def random(states: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Directions drawn with the covariance of states [M, d]: float64 [draw, d], of length one."""
    centred = states.astype(np.float64) - states.mean(axis=0)
    return unit(generator.standard_normal((draws, len(centred))) @ centred)
