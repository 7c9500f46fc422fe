"""Maps of pictures for the page, in one HDF5 file (`vlmscope.atlas/1`, docs/formats.md)."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from PIL import Image

from vlmscope.store import hdf5

FORMAT = "vlmscope.atlas/1"
MAPS = ("concept", "latent", "neurons", "lens")


class Shown(NamedTuple):
    """One picture. Notation: V patches, L blocks.

    sample, word   picture and its object
    picture        the square that the model sees
    patches        int64 [n]        of the object
    concept        float32 [V]      how far each patch is along the word's direction, behind the autoencoder's block
    latent         float32 [V]      activation of the latent that tells the word best; its number is `number`
    neurons        float32 [V]      mean of the word's neurons, turned so that above zero writes it
    lens           float32 [L + 1, V]  probability of the word's token at every depth
    log_probs      float64 [5]      of the word under the conditions of `schemas.CONDITIONS`
    """

    sample: str
    word: str
    picture: Image.Image
    number: int
    patches: np.ndarray
    concept: np.ndarray
    latent: np.ndarray
    neurons: np.ndarray
    lens: np.ndarray
    log_probs: np.ndarray


def write(target: str | Path, found: Iterable[Shown], recipe: dict[str, Any]) -> None:
    """Write pictures with their maps."""
    with hdf5.published(target, FORMAT, recipe) as file:
        for one in found:
            group = file.create_group(one.sample)
            group.attrs.update({"word": one.word, "number": one.number})
            buffer = io.BytesIO()
            one.picture.convert("RGB").save(buffer, "PNG")
            group["picture"] = np.frombuffer(buffer.getvalue(), np.uint8)
            for name in ("patches", *MAPS, "log_probs"):
                group[name] = getattr(one, name)


def read(path: str | Path) -> Iterator[Shown]:
    """The pictures of a file."""
    with opened(path) as file:
        for sample, group in file.items():
            arrays = {name: group[name][()] for name in ("patches", *MAPS, "log_probs")}
            picture = Image.open(io.BytesIO(group["picture"][()].tobytes()))
            yield Shown(sample, str(group.attrs["word"]), picture, int(group.attrs["number"]), **arrays)


def opened(path: str | Path) -> h5py.File:
    """An open file, refused unless it is whole and of this format."""
    return hdf5.opened(path, FORMAT, "file of maps")
