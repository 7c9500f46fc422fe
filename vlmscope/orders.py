"""Orders in which the released loaders walk through a benchmark, with their seeds (mmneuron.md 5)."""

import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def table_order(n: int) -> np.ndarray:
    """Row numbers, int64 [n], in the order of a table shuffled with seed 42 (LingoQA, PMC-VQA)."""
    # The legacy generator is the one behind pandas `sample(frac=1, random_state=42)`.
    return np.random.RandomState(42).permutation(n)


def hub_order(n: int) -> np.ndarray:
    """Row numbers, int64 [n], in the order of a hub dataset shuffled with seed 42 (DocVQA)."""
    return np.random.default_rng(42).permutation(n)


def list_order(items: Iterable[Item]) -> list[Item]:
    """The items in the order of a Python list shuffled with seed 4 (RS-VQA, VQAv2)."""
    shuffled = list(items)
    random.Random(4).shuffle(shuffled)
    return shuffled


def first_per(numbered: Iterable[tuple[int, Item]], key: Callable[[Item], Hashable]) -> Iterator[tuple[int, Item]]:
    """Only the first item of every picture; a picture counts as seen even when its file is missing."""
    # Missing files are found later, on purpose: the released loaders mark the picture before they open it.
    seen = set()
    for index, item in numbered:
        picture = key(item)
        if picture not in seen:
            seen.add(picture)
            yield index, item
