"""Rows of a capture: the values of one take over all its shards, read where they are wanted."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import shards


class Rows:
    """Open rows of one take, counted over all shards in the order of the index.

    samples    names of all samples of the capture
    sample     int32 [row]   number of its sample in `samples`
    position   int32 [row]   position in the text
    token      int32 [row]   token that stands there
    """

    def __init__(self, samples: Sequence[str], groups: Sequence[h5py.Group], sizes: Sequence[int]) -> None:
        self.samples, self.groups = list(samples), list(groups)
        columns = {name: [group[name][()] for group in groups] for name in ("sample", "position", "token")}
        starts = np.cumsum([0, *sizes])[:-1]
        columns["sample"] = [part + start for part, start in zip(columns["sample"], starts, strict=True)]
        joined = {name: np.concatenate(parts).astype(np.int32) for name, parts in columns.items()}
        self.sample, self.position, self.token = joined["sample"], joined["position"], joined["token"]
        self.starts = np.cumsum([0, *(len(group["sample"]) for group in groups)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def values(self, row: int) -> np.ndarray:
        """Values of one row, [layer, unit], as they are stored."""
        if not 0 <= row < len(self):
            raise VlmscopeError(f"The capture has {len(self)} rows, there is no row {row}.", where="store/rows.py")
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.groups[shard]["values"][row - self.starts[shard]]


@contextlib.contextmanager
def opened(index: str | Path, take: str) -> Iterator[Rows]:
    """Rows of a take with keep = values or first; the shards stay open inside the block."""
    about = shards.read_index(index)
    with _groups(index, about, take) as found:
        yield Rows(about["samples"], found, [shard["samples"] for shard in about["shards"]])


@contextlib.contextmanager
def groups(index: str | Path, take: str) -> Iterator[list[h5py.Group]]:
    """The groups of a take, shard by shard, of which nothing is read yet; the shards stay open inside the block."""
    with _groups(index, shards.read_index(index), take) as found:
        yield found


@contextlib.contextmanager
def _groups(index: str | Path, about: dict[str, Any], take: str) -> Iterator[list[h5py.Group]]:
    with contextlib.ExitStack() as files:
        found = []
        for shard in about["shards"]:
            file = files.enter_context(shards.open_shard(Path(index).parent / shard["file"]))
            if take not in file:
                raise VlmscopeError(
                    f"The capture has no take '{take}'.",
                    where=str(index),
                    instead="add it under captures.*.take: " + shards.take_line(take),
                )
            found.append(file[take])
        yield found
