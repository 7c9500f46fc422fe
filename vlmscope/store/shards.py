"""Shards: one HDF5 file per job, whole or not there. Format in docs/formats.md."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import files, hdf5

log = logging.getLogger(__name__)

FORMAT = "vlmscope.shard/1"
INDEX = "vlmscope.capture/1"
# Group beside the takes: what was written, with run: generate.
ANSWERS = "answers"
# Chunks that h5py guesses made single samples 5 to 20 times slower to read.
CHUNK_BYTES = 2 << 20
# The engine does not look for files behind an index that is there, so the index has to go as well.
REMEDY = "delete it and the index.json beside it, then run snakemake again; only this shard is made anew"


def write(target: str | Path, samples: Sequence[str], kept: dict[str, dict[str, Any]], recipe: dict[str, Any]) -> None:
    """Write one shard.

    kept     take name -> arrays; floats called `values` go to fp16 where they fit, else stay fp32
    recipe   everything that decides the content: capture settings, model, data, code digest
    """
    with hdf5.published(target, FORMAT, recipe) as file:
        file.create_dataset("samples", data=np.array(samples, dtype=h5py.string_dtype()))
        for name, arrays in kept.items():
            group = file.create_group(name)
            for key, value in arrays.items():
                _put(group, key, value)


def _put(group: h5py.Group, key: str, value: Any) -> None:
    if np.ndim(value) == 0:
        group.attrs[key] = value
        return
    value = np.asarray(value)
    if key == "values":
        value = hdf5.half(value)
        if value.dtype != np.float16:
            log.warning("%s holds values beyond half precision and is kept in float32.", group.name.lstrip("/"))
    chunks = _chunks(value) if value.ndim == 3 and value.size else None
    group.create_dataset(key, data=value, chunks=chunks)


def _chunks(value: np.ndarray) -> tuple[int, int, int]:
    """One layer and about 2 MB per chunk, so that reading one layer touches nothing else."""
    rows = max(1, min(len(value), CHUNK_BYTES // (value.shape[2] * value.itemsize)))
    return rows, 1, value.shape[2]


def open_shard(path: str | Path) -> h5py.File:
    """An open shard, refused unless it is whole and of this format."""
    return hdf5.opened(path, FORMAT, "shard", REMEDY)


def close_index(target: str | Path, paths: Sequence[str], about: dict[str, Any]) -> None:
    """Write the index that closes a capture of one dataset: sample names, shards with digests, recipe."""
    shards, samples, recipes = [], [], []
    for path in paths:
        with open_shard(path) as file:
            names = [name.decode() for name in file["samples"][()]]
            recipes.append(hdf5.recipe(file))
        shards.append({"file": Path(path).name, "samples": len(names), "digest": files.digest(path)})
        samples += names
    if any(recipe != recipes[0] for recipe in recipes):
        raise VlmscopeError(
            "The shards were made by different recipes.",
            where=str(target),
            instead="snakemake --forcerun capture_shard",
        )
    files.write_json({"format": INDEX, **about, "recipe": recipes[0], "shards": shards, "samples": samples}, target)


def read_index(path: str | Path, *, verify: bool = True) -> dict[str, Any]:
    """An index whose shards are all there; with `verify` their digests are compared too."""
    index = files.read_json(path)
    if not isinstance(index, dict) or index.get("format") != INDEX:
        raise VlmscopeError("This is not the index of a capture.", where=str(path))
    for shard in index["shards"]:
        file = Path(path).parent / shard["file"]
        # Shards lie beside their index; a name that leads elsewhere is no shard of this capture.
        if file.parent != Path(path).parent or not file.is_file():
            raise VlmscopeError("A shard is not there.", where=str(file), instead="snakemake " + str(file))
        if verify and files.digest(file) != shard["digest"]:
            raise VlmscopeError(
                "The shard has changed since the capture was closed (its digest differs).",
                where=str(file),
                instead=REMEDY,
            )
    return index


@dataclass(frozen=True)
class DomainCounts:
    """Firing statistics of one site over several domains.

    fired    int64   [domain, layer, unit]   positions with activation > 0
    total    float64 [domain, layer, unit]   sum of the activation
    seen     int64   [domain]                positions counted
    samples  pictures per domain
    inert    layers whose units have no effect, as the capture's recipe says
    """

    domains: tuple[str, ...]
    fired: np.ndarray
    total: np.ndarray
    seen: np.ndarray
    samples: tuple[int, ...]
    inert: frozenset[int] = frozenset()


def read_counts(indices: dict[str, str], take: str, shards: Sequence[int] | None = None) -> DomainCounts:
    """Counts of one take for `domain -> index file`, summed over all shards, or over those of these numbers."""
    parts = {domain: _summed(path, take, shards) for domain, path in indices.items()}
    return DomainCounts(
        domains=tuple(parts),
        fired=np.stack([part["fired"] for part in parts.values()]),
        total=np.stack([part["total"] for part in parts.values()]),
        seen=np.array([part["seen"] for part in parts.values()], dtype=np.int64),
        samples=tuple(part["samples"] for part in parts.values()),
        inert=frozenset().union(*(part["inert"] for part in parts.values())),
    )


def shard_count(path: str) -> int:
    """How many shards an index closes."""
    return len(read_index(path, verify=False)["shards"])


def _summed(path: str, take: str, numbers: Sequence[int] | None) -> dict[str, Any]:
    index = read_index(path)
    shards = index["shards"] if numbers is None else [index["shards"][number] for number in numbers]
    total: dict[str, Any] = {
        "samples": sum(shard["samples"] for shard in shards),
        "inert": index["recipe"].get("inert", {}).get(take, []),
    }
    for shard in shards:
        with open_shard(Path(path).parent / shard["file"]) as file:
            if take not in file:
                raise VlmscopeError(
                    f"The capture has no take '{take}'.",
                    where=str(path),
                    instead="add it under captures.*.take: " + take_line(take),
                )
            group = file[take]
            for key, value in (
                ("fired", group["fired"][()]),
                ("total", group["total"][()]),
                ("seen", group.attrs["seen"]),
            ):
                total[key] = value if key not in total else total[key] + value
    return total


def read_attention(path: str | Path, take: str, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Attention probabilities of one sample of a shard, numbered from 0 within it.

    returns   positions of the queries int32 [query], probabilities [layer, head, query, key]
    """
    with open_shard(path) as file:
        if take not in file:
            raise VlmscopeError(f"The shard has no take '{take}'.", where=str(path), instead="one of: " + _takes(file))
        group = file[take]
        rows = np.flatnonzero(group["sample"][()] == sample)
        if not len(rows):
            return np.zeros(0, np.int32), np.zeros((*group["values"].shape[1:], 0, 0), np.float16)
        # Rows of a sample stand together: queries in order, for each of them all keys.
        part = slice(rows[0], rows[-1] + 1)
        keys = int(group["key"][rows[-1]]) + 1
        values = group["values"][part].reshape(-1, keys, *group["values"].shape[1:])
        return group["position"][part][::keys], values.transpose(2, 3, 0, 1)


class Answer(NamedTuple):
    """Written tokens, and the id of the one that ended them, which is not among them; -1 where the limit did."""

    tokens: list[int]
    end: int


def read_answers(path: str | Path) -> dict[str, Answer]:
    """Sample -> what was written, of all shards behind an index, in their order."""
    found: dict[str, Answer] = {}
    for shard in read_index(path, verify=False)["shards"]:
        with open_shard(Path(path).parent / shard["file"]) as file:
            if ANSWERS not in file:
                raise VlmscopeError(
                    "Nothing was written in this capture.", where=str(path), instead="captures.*.run: generate"
                )
            group, names = file[ANSWERS], [name.decode() for name in file["samples"][()]]
            counts = np.bincount(group["sample"][()], minlength=len(names))
            tokens, stops, ended = group["tokens"][()], np.cumsum(counts), group["ended"][()].tolist()
            for name, stop, count, end in zip(names, stops, counts, ended, strict=True):
                found[name] = Answer(tokens[stop - count : stop].tolist(), end)
    return found


def _takes(file: h5py.File) -> str:
    return ", ".join(name for name in file if name not in ("samples", ANSWERS))


def take_line(name: str) -> str:
    """How a take of that name is written in the configuration."""
    site, where, keep = name.split(".")[:3]
    return f"{{site: {site}, where: {where}, keep: {keep}}}"
