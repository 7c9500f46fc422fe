"""Lists of neurons per noun, best first: one HDF5 file, whole or not there. Format in docs/formats.md."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5

FORMAT = "vlmscope.neurons/2"
# How neurons are ranked without a model; multi_token: only nouns of several tokens.
METHODS = ("contribution", "contribution_negative", "activation", "random", "multi_token")
# Activation and method; sample and noun.
Kind = tuple[str, str]
Key = tuple[str, str]
TYPES = {"layer": np.uint8, "unit": np.uint16, "score": np.float32, "negative": np.bool_}
# Nouns that wait for one write.
BLOCK = 256
# Guessed chunks are slow to read from, as in `store.shards`.
CHUNK_BYTES = 1 << 20


class Neurons(NamedTuple):
    """The neurons of one noun, best first.

    layer      uint8   [k]
    unit       uint16  [k]
    score      float32 [k]
    negative   bool    [k]   whether the activation where the noun was written is below zero; None: none is
    """

    layer: np.ndarray
    unit: np.ndarray
    score: np.ndarray
    negative: np.ndarray | None = None


class Entry(NamedTuple):
    """One list: what counts as activation, how neurons were scored, the sample, the noun."""

    activation: str
    method: str
    sample: str
    noun: str
    neurons: Neurons


def write(target: str | Path, entries: Iterable[Entry], recipe: dict[str, Any], kinds: Sequence[Kind] = ()) -> None:
    """Write lists as they come; those of one activation and method are of one length.

    recipe   everything that decides the content
    kinds    activations and methods that the file has even where no noun was found
    """
    with hdf5.published(target, FORMAT, recipe) as file:
        tables = {kind: _Table(file, kind) for kind in kinds}
        for entry in entries:
            kind = entry.activation, entry.method
            if kind not in tables:
                tables[kind] = _Table(file, kind)
            tables[kind].add(entry)
        for table in tables.values():
            table.flush()


class _Table:
    """Rows of one activation and method on their way into the file."""

    def __init__(self, file: h5py.File, kind: Kind) -> None:
        self.group = file.create_group("/".join(kind))
        self.waiting: list[Entry] = []
        self.seen: set[Key] = set()

    def add(self, entry: Entry) -> None:
        """A list that waits to be written."""
        key = entry.sample, entry.noun
        if key in self.seen:
            raise VlmscopeError(f"The noun '{entry.noun}' of {entry.sample} is listed twice.", where=self.group.name)
        self.seen.add(key)
        self.waiting.append(entry)
        if len(self.waiting) == BLOCK:
            self.flush()

    def flush(self) -> None:
        """Append what waits."""
        rows, self.waiting = self.waiting, []
        for name in ("sample", "noun"):
            text = np.array([getattr(row, name) for row in rows], dtype=h5py.string_dtype())
            self._append(name, text)
        for name, kind in TYPES.items():
            parts = [_fitting(column(row.neurons, name), name, kind) for row in rows]
            if len({len(part) for part in parts}) > 1:
                raise VlmscopeError("The lists of one method differ in length.", where=self.group.name)
            self._append(name, np.stack(parts) if parts else np.zeros((0, 0), kind))

    def _append(self, name: str, rows: np.ndarray) -> None:
        if name not in self.group:
            # A file without a noun gets empty datasets; the width is that of the first rows.
            if not len(rows) and rows.ndim == 2:
                self.group.create_dataset(name, data=rows)
                return
            shape = rows.shape[1:]
            per_chunk = max(1, CHUNK_BYTES // (rows.dtype.itemsize * max(1, int(np.prod(shape)))))
            self.group.create_dataset(
                name,
                data=rows,
                maxshape=(None, *shape),
                chunks=(min(per_chunk, BLOCK), *(max(1, one) for one in shape)),
            )
            return
        if len(rows):
            data = self.group[name]
            data.resize(len(data) + len(rows), axis=0)
            data[-len(rows) :] = rows


def column(neurons: Neurons, name: str) -> np.ndarray:
    """One of its parts, [k]."""
    found = getattr(neurons, name)
    return np.zeros(len(neurons.unit), np.bool_) if found is None else found


def _fitting(values: np.ndarray, name: str, kind: type) -> np.ndarray:
    """Values in the type of the file; numbers of layers and units that it cannot hold are refused."""
    values = np.asarray(values)
    if np.issubdtype(kind, np.integer) and len(values) and not 0 <= values.min() <= values.max() <= np.iinfo(kind).max:
        raise VlmscopeError(
            f"A {name} has the number {values.max()}; lists hold up to {np.iinfo(kind).max}.",
            where="vlmscope/mm_neurons/rank/lists.py",
            instead="a wider type, and a new number of the format",
        )
    return values.astype(kind)


def read(path: str | Path, activation: str, method: str, k: int | None = None) -> dict[Key, Neurons]:
    """Sample and noun -> its neurons, the k best or all; nothing where no noun was found."""
    with _opened(path) as file:
        if f"{activation}/{method}" not in file:
            raise VlmscopeError(
                f"The file has no lists of '{method}' for '{activation}'.",
                where=str(path),
                instead="one of: " + ", ".join(f"{one} for {of}" for of in file for one in file[of]),
            )
        group = file[activation][method]
        columns = [group[name][:, :k] for name in TYPES]
        names = [[text.decode() for text in group[name][()]] for name in ("sample", "noun")]
    return {key: Neurons(*rows) for key, *rows in zip(zip(*names, strict=True), *columns, strict=True)}


def about(path: str | Path) -> dict[str, Any]:
    """The recipe, and activation -> method -> number of nouns and length of their lists."""
    with _opened(path) as file:
        lists = {
            activation: {
                method: dict(zip(("nouns", "keep"), group["score"].shape, strict=True)) for method, group in of.items()
            }
            for activation, of in file.items()
        }
        return {"recipe": hdf5.recipe(file), "lists": lists}


def _opened(path: str | Path) -> h5py.File:
    """An open file, refused unless it is whole and of this format."""
    return hdf5.opened(path, FORMAT, "file of lists")
