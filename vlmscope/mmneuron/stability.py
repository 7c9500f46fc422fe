"""Would other pictures give the same neurons? Sets over disjoint shards, growing budgets and kinds of positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from vlmscope.mmneuron import modules
from vlmscope.mmneuron.identify import select
from vlmscope.store.shards import read_counts, shard_count

SIZES = {"size_a": pl.Int64, "size_b": pl.Int64, "intersection": pl.Int64, "jaccard": pl.Float64}
# comparison: disjoint (shard a against shard b) or budget (the first shards, up to number b, against all of them).
STABILITY = {
    "module": pl.String,
    "domain": pl.String,
    "comparison": pl.String,
    "a": pl.String,
    "b": pl.String,
    "samples_a": pl.Int64,
    "samples_b": pl.Int64,
    **SIZES,
}
POSITIONS = {
    "module": pl.String,
    "domain": pl.String,
    "a": pl.String,
    "b": pl.String,
    "positions_a": pl.Int64,
    "positions_b": pl.Int64,
    **SIZES,
}
# All domains together: neurons that belong to any of them.
UNION = "any"


@dataclass(frozen=True)
class Found:
    """Neurons found on some part of the data.

    members    domain (and `UNION`) -> bool [layer, unit]
    samples    domain -> pictures behind it; positions likewise
    """

    members: dict[str, np.ndarray]
    samples: dict[str, int]
    positions: dict[str, int]


def found(indices: dict[str, str], take: str, settings: Mapping[str, Any], shards: Sequence[int] | None) -> Found:
    """Neurons of one module from some of the shards.

    settings   the section mmneuron.identify
    """
    counts = read_counts(indices, take, shards)
    members = select(counts.fired, counts.seen, **settings).members
    by_domain = dict(zip(counts.domains, members, strict=True))
    samples, seen = (dict(zip(counts.domains, one, strict=True)) for one in (counts.samples, counts.seen.tolist()))
    return Found(
        {**by_domain, UNION: members.any(axis=0)},
        {**samples, UNION: sum(samples.values())},
        {**seen, UNION: sum(seen.values())},
    )


def overlap(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Sizes of two sets, of what they share, and Jaccard's index; empty where both are empty."""
    shared, either = int((a & b).sum()), int((a | b).sum())
    sizes = {"size_a": int(a.sum()), "size_b": int(b.sum())}
    return {**sizes, "intersection": shared, "jaccard": shared / either if either else None}


def over_shards(indices: dict[str, str], family: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """Every pair of shards, and every budget against the whole; no row where a capture has one shard only."""
    count = min(shard_count(path) for path in indices.values())
    rows = []
    for module in modules.sites(family):
        take = modules.take_name(family, module)
        single = [found(indices, take, settings, [number]) for number in range(count if count > 1 else 0)]
        for a, b in combinations(range(len(single)), 2):
            rows += _rows(module, "disjoint", (str(a), single[a]), (str(b), single[b]))
        whole = found(indices, take, settings, None)
        for k in range(1, count):
            part = found(indices, take, settings, range(k))
            rows += _rows(module, "budget", (f"{k}/{count}", part), ("all", whole))
    return pl.DataFrame(rows, schema=STABILITY)


def _rows(module: str, comparison: str, a: tuple[str, Found], b: tuple[str, Found]) -> list[dict[str, Any]]:
    return [
        {
            "module": module,
            "domain": domain,
            "comparison": comparison,
            "a": a[0],
            "b": b[0],
            "samples_a": a[1].samples[domain],
            "samples_b": b[1].samples[domain],
            **overlap(a[1].members[domain], b[1].members[domain]),
        }
        for domain in a[1].members
    ]


def over_positions(indices: dict[str, str], family: str, settings: Mapping[str, Any]) -> pl.DataFrame:
    """Decoder neurons found on all positions, on image positions alone and on text positions alone."""
    kinds = ("all", *modules.POSITIONS)
    takes = {kind: modules.take_name(family, modules.DECODER, kind) for kind in kinds}
    sets = {kind: found(indices, take, settings, None) for kind, take in takes.items()}
    rows = [
        {
            "module": modules.DECODER,
            "domain": domain,
            "a": a,
            "b": b,
            "positions_a": sets[a].positions[domain],
            "positions_b": sets[b].positions[domain],
            **overlap(sets[a].members[domain], sets[b].members[domain]),
        }
        for a, b in combinations(kinds, 2)
        for domain in sets[a].members
    ]
    return pl.DataFrame(rows, schema=POSITIONS)


def from_captures(
    counts: Sequence[str], *, domains: Sequence[str], family: str, identify: Mapping[str, Any]
) -> dict[str, tuple[pl.DataFrame, dict[str, Any]]]:
    """Both tables with their schemas, by the name of the output.

    counts   index files in the order of the domains
    """
    indices = dict(zip(domains, counts, strict=True))
    return {
        "stability": (over_shards(indices, family, identify), STABILITY),
        "positions": (over_positions(indices, family, identify), POSITIONS),
    }
