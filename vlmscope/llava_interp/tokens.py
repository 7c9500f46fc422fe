"""Sets of visual tokens that are taken away (llava_interp.md 2.5). Tokens of a picture are numbered from 0."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from vlmscope.store.files import digest_text


@dataclass(frozen=True)
class Condition:
    """One set of tokens of one picture.

    name     of the condition, `random_40` for one of a row of sizes
    family   what the sets of a row have in common; lines of figures
    size     k or the buffer that was asked for; -1 where nothing was
    tokens   numbers, in the order of the rule
    """

    name: str
    family: str
    size: int
    tokens: tuple[int, ...]


def outliers(values: np.ndarray) -> list[int]:
    """Places of values above the mean by more than two standard deviations, float32 [token] (registers).

    The deviation is that of a sample (ddof 1), as torch has it.
    """
    values = np.asarray(values, dtype=np.float32)
    return np.flatnonzero(values > values.mean() + 2 * values.std(ddof=1)).tolist()


def seeded(seed: int, *names: object) -> random.Random:
    """A generator for one picture and condition: draws do not depend on which pictures came before."""
    return random.Random(int(digest_text(":".join(map(str, (seed, *names))))[:15], 16))


def drawn(values: random.Random, n: int, size: int, without: Collection[int] = ()) -> list[int]:
    """`size` of n tokens at random, as the released code draws them; all where there are no more.

    without   tokens that are not drawn
    """
    left = [one for one in range(n) if one not in without] if without else range(n)
    return values.sample(left, min(size, len(left)))


def ranked(importance: np.ndarray, sizes: Sequence[int]) -> dict[int, list[int]]:
    """The k most important tokens, most important first; of equal ones the earlier."""
    order = np.argsort(-importance, kind="stable")
    return {size: order[:size].tolist() for size in sizes}
