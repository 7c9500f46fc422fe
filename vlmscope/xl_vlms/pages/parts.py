"""What pages about concepts have in common: pictures and texts that come again and again stand in them once."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from vlmscope.raw import read_manifest
from vlmscope.xl_vlms.dictionaries.files import Side, Stored

# Words of random directions, among the methods of `dictionaries.schemas.SCORED`.
RANDOM = "random"


class Page(NamedTuple):
    """Contents of a page.

    data       plain lists and tables, in which pictures are numbers
    pictures   what these numbers stand for: references, with the dataset's folder
    """

    data: dict[str, Any]
    pictures: list[str]

    @classmethod
    def below(cls, raw: str, data: dict[str, Any], pictures: "Numbered") -> "Page":
        """A page with pictures of one dataset.

        raw   its manifest
        """
        root = read_manifest(raw)["root"]
        return cls(data, [f"{root}/{one}" for one in pictures.texts])


class Numbered:
    """Texts with numbers in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Number of a text."""
        return self.places.setdefault(text, len(self.places))

    @property
    def texts(self) -> list[str]:
        """All texts, by number."""
        return list(self.places)


def unlike(words: Iterable[str]) -> list[str]:
    """Words without those that came before, in any case."""
    found: dict[str, str] = {}
    for word in words:
        found.setdefault(word.casefold(), word)
    return list(found.values())


def rounded(value: float | None) -> float | None:
    """Four digits that count; None for what is no finite number."""
    return float(f"{value:.4g}") if value is not None and np.isfinite(value) else None


def concepts(one: Stored, side: Side, pictures: Numbered) -> list[dict[str, Any]]:
    """Every concept: number, different words, how many samples it is most active for, its most activating samples.

    side   the samples that the dictionary was made from
    """
    sizes = np.bincount(one.projected.argmax(axis=1), minlength=one.key.k)
    return [
        {
            "number": number,
            "words": unlike(words),
            "size": int(sizes[number]),
            "images": [
                [pictures.place(side.images[row]), rounded(float(one.projected[row, number])), *_named(side, row)]
                for row in one.images[number]
            ],
        }
        for number, words in enumerate(one.words)
    ]


def _named(side: Side, row: int) -> tuple[str, str]:
    return side.samples[row], side.texts[row]
