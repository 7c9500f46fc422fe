"""Which units a condition sets to zero: a domain's own neurons, another domain's, or random ones."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from vlmscope.mmneuron import modules, schemas
from vlmscope.store import tables

# site -> layer -> unit numbers, as vlmscope.edits takes them
Units = dict[str, dict[int, list[int]]]


def read(path: str, domains: Sequence[str]) -> pl.DataFrame:
    """Neuron table of a model, all modules."""
    return tables.read(path, schemas.neurons(domains))


def of_domain(neurons: pl.DataFrame, family: str, domain: str, chosen: Iterable[str]) -> Units:
    """Units of one domain in the chosen modules.

    neurons   see `schemas.neurons`
    """
    site, own = modules.sites(family), neurons.filter(pl.col("domain") == domain)
    return {site[module]: _layers(own.filter(pl.col("module") == module)) for module in chosen}


def of_conditions(
    neurons: pl.DataFrame, family: str, domain: str, conditions: Iterable[tuple[str, list[str]]]
) -> dict[str, Units]:
    """Condition -> units of the domain's own neurons; conditions as pairs of name and modules.

    Projector alone changes answers here; the released test for it is misspelt and masks nothing
    [differs: mmneuron.md 8 #9].
    """
    return {name: of_domain(neurons, family, domain, chosen) for name, chosen in conditions}


def _layers(table: pl.DataFrame) -> dict[int, list[int]]:
    grouped = table.group_by("layer", maintain_order=True).agg(pl.col("index").sort()).sort("layer")
    return {row["layer"]: row["index"] for row in grouped.iter_rows(named=True)}


def random_like(units: Units, widths: Mapping[str, int], seed: int) -> Units:
    """As many units per site and layer, drawn without replacement from those not in `units` (mmneuron.md 2.8).

    The released sketch draws with replacement, from 2,048 units of whatever module [differs: mmneuron.md 8 #12].
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
