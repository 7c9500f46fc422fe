"""Mask files of the released code: a list over domains of a list over layers of unit numbers (mmneuron.md 2.3).

The released script cuts the list after the last domain that has neurons (8 #6); the missing ones are empty.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import identify, modules
from vlmscope.store import torch_files
from vlmscope.store.shards import DomainCounts, read_counts


def read(path: str | Path, domains: int, shape: tuple[int, int]) -> np.ndarray:
    """Members, bool [domain, layer, unit], of one module's file.

    shape   layers and units that the module must have
    """
    found = torch_files.read(path)
    if not isinstance(found, list) or len(found) > domains:
        raise _unfit(path, f"it is no list of at most {domains} domains")
    members = np.zeros((domains, *shape), dtype=bool)
    for number, layers in enumerate(found):
        if not isinstance(layers, list) or len(layers) != shape[0]:
            raise _unfit(path, f"domain {number} is no list of the module's {shape[0]} layers")
        for layer, units in enumerate(layers):
            members[number, layer, _numbers(units, shape[1], path)] = True
    return members


def _numbers(units: Any, width: int, path: str | Path) -> np.ndarray:
    fits = isinstance(units, np.ndarray) and units.ndim == 1 and units.dtype.kind == "i"
    if not fits or len(np.unique(units)) < len(units):
        raise _unfit(path, "a layer is no list of different unit numbers")
    if len(units) and not 0 <= units.min() <= units.max() < width:
        raise _unfit(path, f"it names unit {units.max() if units.min() >= 0 else units.min()} of {width}")
    return units


def _unfit(path: str | Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The masks do not fit: {why}.",
        where=str(path),
        instead="the file that the released code saved for this module (docs/formats.md)",
    )


def write(members: np.ndarray, target: str | Path) -> None:
    """Members, bool [domain, layer, unit], with a list for every domain, ascending int64 unit numbers per layer."""
    torch_files.write([[np.flatnonzero(layer) for layer in domain] for domain in members], target)


def members_of(neurons: pl.DataFrame, module: str, domains: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """Members, bool [domain, layer, unit], of one module in a neuron table."""
    members = np.zeros((len(domains), *shape), dtype=bool)
    place = {domain: number for number, domain in enumerate(domains)}
    for row in neurons.filter(pl.col("module") == module).iter_rows(named=True):
        members[place[row["domain"]], row["layer"], row["index"]] = True
    return members


def neurons_from_files(
    paths: Sequence[str], indices: Sequence[str], domains: Sequence[str], family: str
) -> tuple[pl.DataFrame, dict[str, dict[str, Any]]]:
    """Neuron table and summary of imported masks; probabilities and entropies beside them are those of the counts.

    paths     mask files, in the order of the family's modules
    indices   captures that supply the counts, in the order of the domains
    """
    parts, summaries = [], {}
    for module, path in zip(modules.sites(family), paths, strict=True):
        counts = read_counts(dict(zip(domains, indices, strict=True)), modules.take_name(family, module))
        chosen = _imported(counts, path)
        parts.append(identify.neuron_table(counts, chosen, module))
        # Which rates made the masks, the file does not say.
        unknown = {"threshold": None, "bar": None, "imported": Path(path).name}
        summaries[module] = identify.summary(counts, chosen, module) | unknown
    return pl.concat(parts), summaries


def _imported(counts: DomainCounts, path: str) -> identify.Selection:
    members = read(path, len(counts.domains), counts.fired.shape[1:])
    # With these rates nothing is filtered but neurons that never fire more than the least active one.
    known = identify.select(counts.fired, counts.seen, top_rate=0.0, filter_rate=0.0, bar_rate=0.0)
    return replace(known, members=members, selected=np.flatnonzero(members.any(axis=0)))
