"""Activations of neurons at image tokens, and where these tokens lie in the picture: one HDF5 file (docs/formats.md).

Written as the samples come, so that nothing but one batch is held.
"""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5

FORMAT = "vlmscope.maps/1"
SAMPLES = "samples"
# Letters of a noun that mean something in a path of HDF5.
MARKS = {"%": "%25", "/": "%2F", ".": "%2E"}


class Seen(NamedTuple):
    """A sample's picture as its patches are cut from it.

    picture   after resizing and cropping
    grid      rows and columns of patches
    carry     float32 [token, patch]: image tokens that are queries, and how much of each patch they read; None where
              image tokens are the patches, row by row
    """

    sample: str
    picture: Image.Image
    grid: tuple[int, int]
    carry: np.ndarray | None


class Units(NamedTuple):
    """A noun's best neurons at the sample's image tokens, in the order of the picture: values [unit, token]."""

    activation: str
    method: str
    sample: str
    noun: str
    values: np.ndarray


def write(target: str | Path, items: Iterable[Seen | Units], recipe: dict[str, Any]) -> None:
    """Write what comes, a sample before its nouns; values in half precision where they fit."""
    with hdf5.published(target, FORMAT, recipe) as file:
        file.create_group(SAMPLES)
        for item in items:
            if isinstance(item, Seen):
                _put_sample(file, item)
            else:
                file.create_dataset(_path(item), data=hdf5.half(item.values))


def _put_sample(file: h5py.File, seen: Seen) -> None:
    group = file.create_group(f"{SAMPLES}/{seen.sample}")
    group.attrs["grid"] = seen.grid
    packed = io.BytesIO()
    seen.picture.save(packed, "PNG")
    group.create_dataset("picture", data=np.frombuffer(packed.getvalue(), np.uint8))
    if seen.carry is not None:
        group.create_dataset("carry", data=seen.carry.astype(np.float16))


def _path(item: Units) -> str:
    return "/".join((item.activation, item.method, item.sample, _quoted(item.noun)))


def _quoted(noun: str) -> str:
    return "".join(MARKS.get(letter, letter) for letter in noun)


def _plain(name: str) -> str:
    for letter, mark in reversed(MARKS.items()):
        name = name.replace(mark, letter)
    return name


def opened(path: str | Path) -> h5py.File:
    """An open file, refused unless it is whole and of this format; for the functions below."""
    return hdf5.opened(path, FORMAT, "file of maps")


def nouns(file: h5py.File, activation: str, method: str, sample: str) -> list[str]:
    """Nouns of a sample that have maps, by the alphabet."""
    place = f"{activation}/{method}/{sample}"
    return sorted(map(_plain, file[place])) if place in file else []


def picture(file: h5py.File, sample: str) -> Image.Image:
    """A sample's picture as its patches are cut from it."""
    return Image.open(io.BytesIO(_sample(file, sample)["picture"][()].tobytes()))


def tokens(file: h5py.File, activation: str, method: str, sample: str, noun: str) -> np.ndarray:
    """The noun's best neurons at the image tokens that have a layout, best first: float32 [unit, token]."""
    item = _path(Units(activation, method, sample, noun, None))
    if item not in file:
        raise VlmscopeError(
            f"There are no maps of '{noun}' in {sample}.",
            where=f"{file.filename}, {activation}/{method}",
            instead="one of: " + ", ".join(nouns(file, activation, method, sample)),
        )
    return file[item][()].astype(np.float32)


def is_carried(file: h5py.File, sample: str) -> bool:
    """Whether its image tokens are queries, whose values are carried back to patches."""
    return "carry" in _sample(file, sample)


def read(file: h5py.File, activation: str, method: str, sample: str, noun: str) -> np.ndarray:
    """The noun's best neurons at the patches of the picture, best first: float32 [unit, row, column]."""
    seen, values = _sample(file, sample), tokens(file, activation, method, sample, noun)
    if "carry" in seen:
        values = values @ seen["carry"][()].astype(np.float32)
    return values.reshape(len(values), *seen.attrs["grid"])


def _sample(file: h5py.File, sample: str) -> h5py.Group:
    if sample not in file[SAMPLES]:
        raise VlmscopeError(f"The sample {sample} has no noun with maps.", where=file.filename)
    return file[SAMPLES][sample]
