"""First views of pictures, patch by patch: states, what they show, active latents. Format in docs/formats.md.

Notation: P pictures, B patches of a first view, d units of the state, k active latents per patch, F latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.beyond import cosines
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.explain.shown import halves
from vlmscope.store import arrays, hdf5

FORMAT = "vlmscope.patches/1"


@dataclass(frozen=True)
class Units:
    """Domain neurons and as many others of the same layers.

    domain    the neuron's domain, empty for the others
    layer, unit   int64 [neuron]
    columns   float32 [neuron, d]   what it writes into the stream
    values    float32 [P B, neuron]
    """

    domain: list[str]
    layer: np.ndarray
    unit: np.ndarray
    columns: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Patches:
    """First views of pictures.

    looks    equal for pictures that look the same
    states   float32 [P, B, d]
    words    every word that is true of any patch -> its kind; none where there are no masks
    shows    bool [P, word, B]
    coders   autoencoder -> its active latents
    """

    looks: list[str]
    states: np.ndarray
    words: dict[str, str] = field(default_factory=dict)
    shows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), bool))
    coders: Mapping[str, Active] = field(default_factory=dict)
    units: Units | None = None

    @property
    def base(self) -> int:
        """Patches of a first view."""
        return self.states.shape[1]

    @cached_property
    def half(self) -> np.ndarray:
        """0 for pictures from which something is chosen, 1 for those on which it is measured: int64 [P]."""
        return halves(self.looks)

    @cached_property
    def flat(self) -> np.ndarray:
        """States of all patches, float32 [P B, d]."""
        return self.states.reshape(-1, self.states.shape[2])

    @cached_property
    def held(self) -> np.ndarray:
        """Patches of the pictures on which is measured, bool [P B]."""
        return np.repeat(self.half == 1, self.base)

    @cached_property
    def told(self) -> np.ndarray:
        """What every patch shows, bool [P B, word]."""
        return np.moveaxis(self.shows, 1, 2).reshape(len(self.states) * self.base, -1)


def write(target: str | Path, samples: Sequence[str], patches: Patches, recipe: dict[str, Any]) -> None:
    """Write patches; states and values of neurons go to half precision where they fit.

    recipe   everything that decides the content
    """
    words, kinds = list(patches.words), list(patches.words.values())
    texts = {"samples": list(samples), "looks": patches.looks, "words": words, "kinds": kinds}
    with hdf5.published(target, FORMAT, recipe) as file:
        for name, some in texts.items():
            file.create_dataset(name, data=some, dtype=h5py.string_dtype())
        file["states"], file["shows"] = hdf5.half(patches.states), patches.shows
        for name, one in patches.coders.items():
            group = file.create_group(f"coders/{name}")
            group.attrs["latents"] = one.latents
            group["idx"], group["val"] = one.idx.astype(np.uint32), one.val
        if patches.units is not None:
            _put_units(file.create_group("units"), patches.units)


def _put_units(group: h5py.Group, own: Units) -> None:
    group.create_dataset("domain", data=own.domain, dtype=h5py.string_dtype())
    group["layer"], group["unit"], group["columns"] = own.layer, own.unit, own.columns
    group["values"] = hdf5.half(own.values)


def read(path: str | Path) -> Patches:
    """The patches of a file, refused unless it is whole and of this format."""
    with hdf5.opened(path, FORMAT, "file of patches") as file:
        states, looks = file["states"][()].astype(np.float32), _texts(file["looks"])
        coders = {name: _active(group, looks, states.shape[1]) for name, group in file["coders"].items()}
        words = dict(zip(_texts(file["words"]), _texts(file["kinds"]), strict=True))
        units = _units(file["units"]) if "units" in file else None
        return Patches(looks, states, words, file["shows"][()], coders, units)


def _active(group: h5py.Group, looks: list[str], base: int) -> Active:
    latents = int(group.attrs["latents"])
    return Active(looks, latents, base, group["idx"][()].astype(np.int64), group["val"][()].astype(np.float32))


def _units(group: h5py.Group) -> Units:
    read = {name: group[name][()] for name in ("layer", "unit", "columns")}
    return Units(_texts(group["domain"]), values=group["values"][()].astype(np.float32), **read)


def _texts(data: h5py.Dataset) -> list[str]:
    return [one.decode() for one in data[()]]


def decoder(path: str | Path) -> np.ndarray:
    """Rows of W_dec at length 1, float32 [F, d]; rows of length 0 stay what they are.

    path   sae.safetensors
    """
    found = arrays.read(path)[0]
    if "W_dec" not in found:
        raise VlmscopeError("There is no decoder in it.", where=str(path), instead="sae.safetensors (docs/formats.md)")
    return cosines.unit(found["W_dec"].astype(np.float32))
