"""Which units a condition sets to zero: a domain's own neurons, another domain's, or random ones."""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from vlmscope.mmneuron import modules

# site -> layer -> unit numbers, as vlmscope.edits takes them
Units = dict[str, dict[int, list[int]]]


def of_domain(neurons: Mapping[str, pl.DataFrame], family: str, domain: str, chosen: Iterable[str]) -> Units:
    """Units of one domain in the chosen modules.

    neurons   module -> neuron table
    """
    site = modules.sites(family)
    return {site[module]: _layers(neurons[module].filter(pl.col("domain") == domain)) for module in chosen}


def _layers(table: pl.DataFrame) -> dict[int, list[int]]:
    grouped = table.group_by("layer", maintain_order=True).agg(pl.col("index").sort()).sort("layer")
    return {row["layer"]: row["index"] for row in grouped.iter_rows(named=True)}


def random_like(units: Units, widths: Mapping[str, int], seed: int) -> Units:
    """As many units per site and layer, drawn without replacement from those not in `units` (mmneuron.md 2.8).

    Where more than half of a layer is masked there are fewer others than needed; then all of them are taken.
    """
    drawn: Units = {}
    for number, (site, layers) in enumerate(sorted(units.items())):
        for layer, members in layers.items():
            others = np.setdiff1d(np.arange(widths[site]), members)
            generator = np.random.default_rng([seed, number, layer])
            picked = generator.choice(others, size=min(len(members), len(others)), replace=False)
            drawn.setdefault(site, {})[layer] = sorted(picked.tolist())
    return drawn


def size(units: Units) -> int:
    """Number of units."""
    return sum(len(members) for layers in units.values() for members in layers.values())
