"""Caches of active latents on disk: our HDF5 file, and the split files of the released code (multimodal_sae.md 2.4).

An entry is (picture or text, position, latent) with a value beyond 1e-5. Formats in docs/formats.md.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5

FORMAT = "vlmscope.cache/1"
THRESHOLD = 1e-5
# Rows of tokens per chunk of the file.
CHUNK = 4096
SPLIT = re.compile(r"(\d+)_(\d+)\.safetensors")


@dataclass(frozen=True)
class Entries:
    """Entries in the order of picture, position, latent.

    where   int64 [n, 3]   picture or text, position, latent
    value   float32 [n]
    """

    where: np.ndarray
    value: np.ndarray

    def of(self, latents: Sequence[int]) -> "Entries":
        """Those of some latents."""
        kept = np.isin(self.where[:, 2], np.asarray(latents))
        return Entries(self.where[kept], self.value[kept])

    def ordered(self) -> "Entries":
        """The same in their order."""
        order = np.lexsort(self.where.T[::-1])
        return Entries(self.where[order], self.value[order])


class Writer:
    """A cache as it grows, picture by picture; memory holds one row per picture and latent that fires in it.

    base   positions of the first view, over which a picture's mean is taken; the others never count; 0 for all
    """

    def __init__(self, file: h5py.File, hookpoint: str, *, latents: int, k: int, base: int, dtype: str) -> None:
        self.group, self.latents, self.base = file.create_group(hookpoint), latents, base
        # Variants without a fixed number of active latents get columns as they need them.
        shape = {"shape": (0, k), "maxshape": (None, None), "chunks": (CHUNK, k)}
        self.idx = self.group.create_dataset("idx", dtype=np.uint32, **shape)
        self.val = self.group.create_dataset("val", dtype=dtype, **shape)
        self.ends = [0]
        self.firing = np.zeros(latents, np.int64)
        self.pooled: list[np.ndarray] = []
        self.looks: list[str] = []
        self.grids: list[tuple[int, int]] = []

    def add(self, idx: np.ndarray, val: np.ndarray, look: str = "", grid: tuple[int, int] | None = None) -> None:
        """Add the next picture: latents and values [position, k], in any order; what is not beyond 1e-5 becomes 0.

        look   equal for pictures that look the same
        grid   rows and columns of its positions, where pictures differ in them
        """
        self.looks.append(look)
        self.grids += [grid] if grid else []
        val = np.where(np.abs(val) > THRESHOLD, val, 0).astype(np.float32)
        # Zeros last, then by latent: equal content is equal bytes, whatever order the selection came in.
        order = np.lexsort((idx, val == 0))
        idx, val = (np.take_along_axis(one, order, 1) for one in (np.where(val == 0, 0, idx), val))
        self.firing += np.bincount(idx[val != 0], minlength=self.latents)
        base = self.base or len(idx)
        self._pool(idx[:base], val[:base], base)
        start, end = self.ends[-1], self.ends[-1] + len(idx)
        for data, rows in ((self.idx, idx), (self.val, val)):
            data.resize((end, max(rows.shape[1], data.shape[1])))
            data[start:end, : rows.shape[1]] = rows
        self.ends.append(end)

    def _pool(self, idx: np.ndarray, val: np.ndarray, base: int) -> None:
        latent, value = idx[val != 0], val[val != 0]
        found, places = np.unique(latent, return_inverse=True)
        row = np.zeros(len(found), POOLED)
        row["latent"], row["image"] = found, len(self.ends) - 1
        row["mean"] = np.bincount(places, value.astype(np.float64), len(found)) / base
        row["count"] = np.bincount(places, minlength=len(found))
        np.maximum.at(row["max"], places, value)
        self.pooled.append(row)

    def close(self) -> None:
        """Write what is known only at the end."""
        rows = np.concatenate(self.pooled) if self.pooled else np.zeros(0, POOLED)
        rows = rows[np.argsort(rows["latent"], kind="stable")]
        pooled = self.group.create_group("pooled")
        pooled["ptr"] = np.concatenate([[0], np.cumsum(np.bincount(rows["latent"], minlength=self.latents))])
        for name in ("image", "mean", "max", "count"):
            pooled[name] = rows[name]
        if self.grids:
            self.group["grids"] = np.array(self.grids, np.int64)
        self.group["looks"] = np.array(self.looks, dtype=h5py.string_dtype())
        self.group["token_ptr"] = np.array(self.ends, np.int64)
        self.group["firing"] = self.firing


POOLED = np.dtype([("latent", "u4"), ("image", "u4"), ("mean", "f4"), ("max", "f4"), ("count", "u2")])


@contextlib.contextmanager
def published(
    target: str | Path, hookpoint: str, names: Sequence[str], about: Mapping[str, Any], **shape: Any
) -> Iterator[Writer]:
    """A new cache to fill; it takes its name when the block ends well.

    names   of the pictures or texts, in their order
    about   model, sae, scope, grid, data, and what else decides the content
    shape   latents, k, base, dtype
    """
    with hdf5.published(target, FORMAT, {**about, **shape, "threshold": THRESHOLD}) as file:
        file["samples"] = np.array(list(names), dtype=h5py.string_dtype())
        writer = Writer(file, hookpoint, **shape)
        yield writer
        writer.close()


class Cache:
    """An open cache.

    samples   names of the pictures or texts
    looks     equal for pictures that look the same
    grids     rows and columns of every picture's positions, int64 [picture, 2]; None where all are the square view
    about     what decided the content
    """

    def __init__(self, file: h5py.File) -> None:
        self.samples = [name.decode() for name in file["samples"][()]]
        self.about = hdf5.recipe(file)
        self.hookpoint = next(name for name in file if name != "samples")
        self.group = file[self.hookpoint]
        self.ends = self.group["token_ptr"][()]
        self.firing = self.group["firing"][()]
        self.looks = [look.decode() for look in self.group["looks"][()]]
        self.latents = len(self.firing)
        self.grids = self.group["grids"][()] if "grids" in self.group else None
        self.ptr = self.group["pooled/ptr"][()]

    def entries(self, first: int = 0, last: int | None = None) -> Entries:
        """Entries of pictures from `first` up to, not with, `last`; all of them unless told otherwise."""
        last = len(self.ends) - 1 if last is None else last
        start, end = self.ends[first], self.ends[last]
        idx, val = self.group["idx"][start:end], self.group["val"][start:end].astype(np.float32)
        picture = np.repeat(np.arange(first, last), np.diff(self.ends[first : last + 1]))
        position = np.arange(start, end) - self.ends[picture]
        token, place = np.nonzero(val)
        where = np.stack([picture[token], position[token], idx[token, place]], 1).astype(np.int64)
        return Entries(where, val[token, place])

    @cached_property
    def highest(self) -> np.ndarray:
        """Highest value of every latent over first views, float32 [latent]; 0 for one that never fires there."""
        found = np.zeros(self.latents, np.float32)
        np.maximum.at(found, np.repeat(np.arange(self.latents), np.diff(self.ptr)), self.group["pooled/max"][()])
        return found

    def pooled(self, latent: int) -> dict[str, np.ndarray]:
        """Pictures in which a latent fires in the first view: image, mean over it, max, count of positions."""
        part = slice(*self.ptr[latent : latent + 2])
        return {name: self.group[f"pooled/{name}"][part] for name in ("image", "mean", "max", "count")}

    def map(self, latent: int, image: int) -> np.ndarray:
        """A latent's values in the first view of a picture, float32 [base]."""
        start, end = self.ends[image], self.ends[image + 1]
        part = slice(start, min(end, start + self.about["base"]) if self.about["base"] else end)
        idx, val = (self.group[name][part] for name in ("idx", "val"))
        return np.where(idx == latent, val, 0).sum(1).astype(np.float32)


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Cache]:
    """A cache, refused unless it is whole and of this format."""
    with hdf5.opened(path, FORMAT, "cache") as file:
        yield Cache(file)


# ---- files of the released code ----------------------------------------------------------------------------------


def bounds(latents: int, splits: int) -> list[tuple[int, int]]:
    """First and last latent of every split, both in it; the released writer drops the last [differs: 8 B3]."""
    edges = np.linspace(np.float32(0), np.float32(latents), splits + 1, dtype=np.float32).astype(np.int64)
    return list(zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), strict=True))


def write_released(entries: Entries, folder: str | Path, latents: int, splits: int, offset: int = 0) -> list[Path]:
    """Split files under the released names; `offset` is added to the numbers of pictures."""
    # Here, since readers of caches do without.
    import torch

    from vlmscope.store import tensors

    written = []
    for first, last in bounds(latents, splits):
        kept = (entries.where[:, 2] >= first) & (entries.where[:, 2] <= last)
        where = entries.where[kept] + np.array([offset, 0, 0])
        written.append(Path(folder) / f"{first}_{last}.safetensors")
        arrays = {"locations": where.astype(np.int64), "activations": entries.value[kept].astype(np.float32)}
        tensors.write({name: torch.from_numpy(one) for name, one in arrays.items()}, written[-1], {})
    return written


def read_released(folder: str | Path) -> Entries:
    """Entries of all split files of a folder, in their order."""
    paths = sorted(path for path in Path(folder).glob("*.safetensors") if SPLIT.fullmatch(path.name))
    if not paths:
        raise VlmscopeError(
            "There are no split files of a cache here.", where=str(folder), instead="files like 0_1023.safetensors"
        )
    parts = []
    for path in paths:
        try:
            found = load_file(path)
        except (SafetensorError, OSError) as error:
            raise VlmscopeError(f"A split file is damaged: {error}", where=str(path)) from error
        where, value = found.get("locations"), found.get("activations")
        if where is None or value is None or where.ndim != 2 or where.shape[1] != 3 or len(where) != len(value):
            raise VlmscopeError("A split file has no locations [n, 3] with activations [n].", where=str(path))
        parts.append((where.astype(np.int64), value.astype(np.float32)))
    return Entries(*(np.concatenate(one) for one in zip(*parts, strict=True))).ordered()


def pack(entries: Entries, positions: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Entries as latents and values [position, k] per picture, as a writer takes them.

    positions   how many every picture has
    """
    own = entries.ordered()
    ends = np.concatenate([[0], np.cumsum(positions)])
    row = ends[own.where[:, 0]] + own.where[:, 1]
    starts = np.searchsorted(row, row)
    place = np.arange(len(row)) - starts
    k = int(place.max()) + 1 if len(row) else 1
    idx, val = np.zeros((ends[-1], k), np.int64), np.zeros((ends[-1], k), np.float32)
    idx[row, place], val[row, place] = own.where[:, 2], own.value
    for start, end in pairwise(ends.tolist()):
        yield idx[start:end], val[start:end]


def read_filter(path: str | Path, hookpoint: str) -> list[int]:
    """Latents that a filter of the released code lists for a place: `{"model.layers.24": [3, 14]}`."""
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(told, dict) or not isinstance(told.get(hookpoint), list):
        raise VlmscopeError(f"The filter lists no latents of '{hookpoint}'.", where=str(path))
    return sorted(int(one) for one in told[hookpoint])
