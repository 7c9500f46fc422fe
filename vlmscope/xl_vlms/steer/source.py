"""Vector sets with what is known of their questions: groups of states by answer, by type, by what was written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmscope import samples as table
from vlmscope.errors import VlmscopeError
from vlmscope.xl_vlms.sets import modules, vectors
from vlmscope.xl_vlms.sets.vectors import VectorSet


class Asked(NamedTuple):
    """What a question's annotators said, and of what type that is."""

    choice: str
    answer_type: str


class Source:
    """Vector sets of a model with what is known of their questions.

    sets    name -> file of vectors
    asked   sample -> what it was asked
    """

    def __init__(self, sets: Mapping[str, str], asked: Mapping[str, Asked]) -> None:
        self.sets, self.asked = dict(sets), dict(asked)
        self.read: dict[tuple[str, str], VectorSet] = {}

    def blocks(self, name: str) -> list[str]:
        """Blocks that a set has vectors of."""
        return [one for one in vectors.modules(self.sets[name]) if one.startswith("block.")]

    def layers(self, name: str) -> int:
        """Decoder blocks of the model, 0 where the set does not tell."""
        with vectors.opened(self.sets[name]) as file:
            return int(file.attrs["layers"])

    def block(self, name: str, module: str) -> str:
        """The block of a set that a module's name means."""
        return block_of(self.blocks(name), module, self.layers(name), self.sets[name])

    def whole(self, name: str, block: str) -> VectorSet:
        """All vectors of a set, read once."""
        if (name, block) not in self.read:
            self.read[name, block] = vectors.read(self.sets[name], block)
        return self.read[name, block]

    def chosen(self, group: Mapping[str, Any], block: str) -> np.ndarray:
        """Whether each vector of the group's set belongs to the group, bool [M]."""
        some = self.whole(group["set"], block)
        kept = np.ones(len(some.values), bool)
        if group["said"]:
            words = {one.lower() for one in group["said"]}
            kept &= np.array([text.strip().lower() in words for text in some.texts], bool)
        for key, field in (("answers", "choice"), ("types", "answer_type")):
            if group[key]:
                kept &= np.array([getattr(self._asked(name), field) in group[key] for name in some.samples], bool)
        return kept

    def _asked(self, sample: str) -> Asked:
        if sample not in self.asked:
            raise VlmscopeError(
                f"Nothing is known of the question {sample}: its dataset has no answer types.",
                where="xl_vlms.vectors.*.answers or types",
                instead="a set of a dataset of kind vqav2_questions; `said`, what the model wrote, works with all",
            )
        return self.asked[sample]

    def group(self, group: Mapping[str, Any], block: str) -> np.ndarray:
        """Vectors of a group, float32 [M, D]."""
        return self.whole(group["set"], block).values[self.chosen(group, block)]


def questions(paths: Sequence[str]) -> dict[str, Asked]:
    """What is known of the questions in sample tables; tables without answer types tell nothing."""
    found = {}
    for path in paths:
        for one in table.read(path):
            known = json.loads(one.answer)
            if isinstance(known, dict) and "answer_type" in known:
                found[one.sample] = Asked(known["choice"], known["answer_type"])
    return found


def from_files(sets: Sequence[str], tables: Sequence[str]) -> Source:
    """Sets by the names of their files, and what is known of their questions."""
    return Source({Path(path).stem: path for path in sets}, questions(tables))


def block_of(there: Sequence[str], module: str, layers: int, where: str) -> str:
    """The one of these blocks that a module's name means.

    layers   decoder blocks of the model, 0 where nobody knows: then a single block is the one that is counted to
    where    file that holds the blocks
    """
    if not layers and len(there) == 1 and modules.canonical(module).startswith("block.-"):
        return there[0]
    name = modules.numbered(module, layers) if layers else modules.canonical(module)
    if name not in there:
        raise VlmscopeError(
            f"There are no states of '{module}'.", where=where, instead="one of: " + ", ".join(modules.ordered(there))
        )
    return name
