"""Dictionaries on disk: all of one vector set in a file (`vlmscope.dictionary/1`, docs/formats.md)."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5
from vlmscope.xl_vlms.dictionaries.dictionary import Dictionary
from vlmscope.xl_vlms.sets import modules

FORMAT = "vlmscope.dictionary/1"
SIDES = ("train", "test")
ARRAYS = ("concepts", "activations", "mean", "costs")


class Key(NamedTuple):
    """Which dictionary of a set: module, method, number of concepts, seed."""

    module: str
    method: str
    k: int
    seed: int

    @property
    def place(self) -> str:
        """Its group in a file."""
        return f"{self.module}/{self.method}-{self.k}-s{self.seed}"


class Stored(NamedTuple):
    """A dictionary with what was read from it.

    projected  float32 [M, K]  activations of the samples it was made from, by the finished dictionary
    held_out   float32 [T, K]  activations of the samples that were held out
    words      [K] lists       words of every concept, best first
    images     int64 [K, n]    samples that activate it most, most first
    """

    key: Key
    dictionary: Dictionary
    projected: np.ndarray
    held_out: np.ndarray
    words: list[list[str]]
    images: np.ndarray


class Side(NamedTuple):
    """Samples of one side: names, first pictures, and what the model wrote."""

    samples: list[str]
    images: list[str]
    texts: list[str]


def write(target: str | Path, stored: Iterable[Stored], sides: Sequence[Side], recipe: dict[str, Any]) -> None:
    """Write dictionaries of one set, and the samples they were made from and tried on."""
    with hdf5.published(target, FORMAT, recipe) as file:
        for name, side in zip(SIDES, sides, strict=True):
            for key, texts in side._asdict().items():
                file.create_dataset(f"{name}/{key}", data=np.array(texts, dtype=h5py.string_dtype()))
        for one in stored:
            group = file.create_group(f"dictionaries/{one.key.place}")
            group.attrs.update({**one.key._asdict(), "alpha": one.dictionary.alpha, "words": json.dumps(one.words)})
            for name in ARRAYS:
                group[name] = getattr(one.dictionary, name)
            group["projected"], group["held_out"], group["images"] = one.projected, one.held_out, one.images


def keys(path: str | Path) -> list[Key]:
    """All dictionaries of a file: by module, then by method, size and seed."""
    with opened(path) as file:
        groups = [group for place in file["dictionaries"].values() for group in place.values()]
        found = [Key(*(_plain(group.attrs[name]) for name in Key._fields)) for group in groups]
    order = modules.ordered(one.module for one in found)
    return sorted(found, key=lambda one: (order.index(one.module), *one[1:]))


def read(path: str | Path, key: Key) -> Stored:
    """One dictionary."""
    with opened(path) as file:
        place = f"dictionaries/{key.place}"
        if place not in file:
            raise VlmscopeError(
                f"There is no dictionary {key.place}.",
                where=str(path),
                instead="settings of xl_vlms.dictionaries that make it (docs/xl_vlms.md)",
            )
        group = file[place]
        arrays = {name: group[name][()] for name in ARRAYS}
        own = Dictionary(method=key.method, alpha=float(group.attrs["alpha"]), **arrays)
        words = json.loads(group.attrs["words"])
        return Stored(key, own, group["projected"][()], group["held_out"][()], words, group["images"][()])


def sides(path: str | Path) -> dict[str, Side]:
    """Samples that dictionaries were made from (train) and tried on (test)."""
    with opened(path) as file:
        return {name: Side(*([one.decode() for one in file[name][key]] for key in Side._fields)) for name in SIDES}


def recipe(path: str | Path) -> dict[str, Any]:
    """Model, set and settings behind a file."""
    with opened(path) as file:
        return hdf5.recipe(file)


def main_module(path: str) -> str:
    """Module of the main dictionaries of a file; at the others there is but one method."""
    return recipe(path)["main"]


def opened(path: str | Path) -> h5py.File:
    """An open file of dictionaries, refused unless it is whole and of this format."""
    return hdf5.opened(path, FORMAT, "file of dictionaries")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
