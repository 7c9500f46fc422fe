"""Sets of visual tokens that are taken away (llava_interp.md 2.5). Tokens of a picture are numbered from 0."""

import random as generators
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlmscope.llava_interp.asking import geometry
from vlmscope.store.files import digest_text

# Neighbours that are added to the object, diagonal ones too.
BUFFERS = (0, 1, 2)


@dataclass(frozen=True)
class Condition:
    """One set of visual tokens of one picture.

    family   rule, and line of figures
    size     k or the buffer that was asked for; None where nothing was
    tokens   numbers, in the order of the rule
    """

    family: str
    size: int | None
    tokens: tuple[int, ...]


def outliers(values: np.ndarray) -> list[int]:
    """Places of values above the mean by more than two standard deviations, float32 [token] (registers).

    The deviation is that of a sample (ddof 1), as torch has it.
    """
    values = np.asarray(values, dtype=np.float32)
    return np.flatnonzero(values > values.mean() + 2 * values.std(ddof=1)).tolist()


def seeded(seed: int, *names: object) -> generators.Random:
    """A generator for one picture and condition: draws do not depend on which pictures came before.

    The released code sets no seed [differs: llava_interp.md 8 #16].
    """
    # As many digits as in `models.answer.seed_of`.
    return generators.Random(int(digest_text(":".join(map(str, (seed, *names))))[:15], 16))


def drawn(values: generators.Random, n: int, size: int, without: Collection[int] = ()) -> list[int]:
    """`size` of n tokens at random, as the released code draws them; all where there are no more.

    without   tokens that are not drawn
    """
    left = [one for one in range(n) if one not in without] if without else range(n)
    return values.sample(left, min(size, len(left)))


def ranked(importance: np.ndarray, sizes: Sequence[int]) -> dict[int, list[int]]:
    """The k most important tokens, most important first; of equal ones the earlier."""
    order = np.argsort(-importance, kind="stable")
    return {size: order[:size].tolist() for size in sizes}


def conditions(
    patches: Sequence[int],
    grid: int,
    *,
    image: int,
    seed: int,
    random: Sequence[int],
    norms: Mapping[str, np.ndarray],
    importance: np.ndarray | None,
    gradient: Sequence[int],
) -> list[Condition]:
    """Every set of a picture (llava_interp.md 2.5), and as many tokens beside the object as it has (`matched`).

    patches      of the object; sets `object` of size 0, 1, 2 are these and their neighbours
    random       sizes of random sets, each drawn by itself from `seed`, the picture and the size
    norms        rule of registers -> lengths
    importance   of each visual token for the answer, float32 [token]
    gradient     sizes of sets of the most important tokens
    """
    n, found = grid * grid, []
    for buffer in BUFFERS:
        own = geometry.grown(patches, buffer, grid)
        others = drawn(seeded(seed, image, "matched", buffer), n, len(own), set(own))
        found += [Condition("object", buffer, tuple(own)), Condition("matched", buffer, tuple(others))]
    found += [Condition(rule, None, tuple(outliers(values))) for rule, values in norms.items()]
    found += [Condition("random", k, tuple(drawn(seeded(seed, image, "random", k), n, k))) for k in random]
    if importance is not None:
        found += [Condition("gradient", k, tuple(one)) for k, one in ranked(importance, gradient).items()]
    return [*found, Condition("whole", None, tuple(range(n)))]
