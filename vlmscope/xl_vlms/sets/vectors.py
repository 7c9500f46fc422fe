"""Vector sets: one state, or none, of every sample of a capture, at every kept module. Format in docs/formats.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5
from vlmscope.xl_vlms.sets import modules as places

FORMAT = "vlmscope.vectors/1"
TEXTS = ("samples", "texts", "images")


class VectorSet(NamedTuple):
    """Vectors of one module, and which samples they belong to.

    samples, images, texts   [M]   sample, its first picture below the dataset's folder, what the model wrote of it
    values   float32 [M, D]
    rows     int64 [M]   place of each vector's sample among all of the set, rising
    total    all samples of the set, N
    """

    samples: list[str]
    images: list[str]
    texts: list[str]
    values: np.ndarray
    rows: np.ndarray
    total: int


def write(
    target: str | Path,
    *,
    samples: Sequence[str],
    texts: Sequence[str],
    images: Sequence[str],
    row: np.ndarray,
    vectors: Mapping[str, np.ndarray],
    recipe: dict[str, Any],
    found: np.ndarray | None = None,
    layers: int = 0,
) -> None:
    """Write a set.

    samples, texts, images   [N] all samples, in order
    row       int64 [M]   sample of each vector, rising; several vectors may belong to one
    vectors   module -> [M, D]; half precision where all of it fits, else single
    found     bool [M]    False where a state was stored though nothing was found; None: found everywhere
    layers    decoder blocks of the model, 0 where nobody knows
    """
    row = np.asarray(row, dtype=np.int64)
    found = np.ones(len(row), bool) if found is None else np.asarray(found, bool)
    _check(target, {"samples": samples, "texts": texts, "images": images}, row, found, vectors)
    with hdf5.published(target, FORMAT, recipe) as file:
        for key, values in zip(TEXTS, (samples, texts, images), strict=True):
            file.create_dataset(key, data=np.array(values, dtype=h5py.string_dtype()))
        file.attrs["layers"] = layers
        file["row"], file["found"] = row, found
        group = file.create_group("vectors")
        for name in places.ordered({places.canonical(one): None for one in vectors}):
            value = next(one for key, one in vectors.items() if places.canonical(key) == name)
            group.create_dataset(name, data=hdf5.half(np.asarray(value)))


def _check(
    target: str | Path,
    texts: Mapping[str, Sequence[str]],
    row: np.ndarray,
    found: np.ndarray,
    vectors: Mapping[str, np.ndarray],
) -> None:
    """Refuse arrays that do not belong together."""
    problem = ""
    if len({len(one) for one in texts.values()}) > 1:
        problem = f"there are {', '.join(f'{len(one)} {key}' for key, one in texts.items())}"
    elif (len(row) and (np.diff(row) < 0).any()) or not ((row >= 0) & (row < len(texts["samples"]))).all():
        problem = "`row` does not rise within the samples"
    elif len(found) != len(row) or any(np.ndim(one) != 2 or len(one) != len(row) for one in vectors.values()):
        problem = f"not every array has {len(row)} rows"
    elif len({places.canonical(one) for one in vectors}) < len(vectors):
        problem = f"a module is there twice: {', '.join(vectors)}"
    elif odd := [key for key, one in vectors.items() if not np.isfinite(one).all()]:
        problem = f"the vectors of {', '.join(odd)} are not all numbers"
    if problem:
        raise VlmscopeError(f"These are no vectors of one set: {problem}.", where=str(target))


def modules(path: str | Path) -> list[str]:
    """Canonical names of the modules in a set, as the model computes them."""
    with opened(path) as file:
        return places.ordered(file["vectors"])


def read(path: str | Path, module: str) -> VectorSet:
    """The vectors of one module, any spelling; rows where nothing was found are left out (xl_vlms.md 2.4)."""
    with opened(path) as file:
        name = _named(file, module, path)
        keep = file["found"][()]
        rows = file["row"][()][keep]
        values = file["vectors"][name][()].astype(np.float32)[keep]
        total = len(file["samples"])
        samples, texts, images = ([one.decode() for one in file[key][()]] for key in TEXTS)
    own = [[one[row] for row in rows] for one in (samples, images, texts)]
    return VectorSet(*own, values, rows, total)


def opened(path: str | Path) -> h5py.File:
    """An open file of vectors, refused unless it is whole and of this format."""
    return hdf5.opened(path, FORMAT, "file of vectors")


def _named(file: h5py.File, module: str, path: str | Path) -> str:
    """The dataset that a module's name means; blocks may be counted from the end where their number is known."""
    there, layers = places.ordered(file["vectors"]), int(file.attrs["layers"])
    name = places.canonical(module)
    if name.startswith("block.-") and layers:
        name = places.numbered(name, layers)
    if name not in there:
        raise VlmscopeError(
            f"The set has no vectors of '{module}'.", where=str(path), instead="one of: " + ", ".join(there)
        )
    return name
