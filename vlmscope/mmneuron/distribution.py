"""Where domain-specific neurons lie: by layer, shared between domains, overlap of two domains (mmneuron.md 7.3)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from vlmscope.mmneuron import schemas
from vlmscope.store import files, tables

LAYERS = {
    "module": pl.String,
    "layer": pl.Int32,
    "domain": pl.String,
    "count": pl.Int64,
    "share_of_layer": pl.Float64,
}
SHARING = {"module": pl.String, "n_domains": pl.Int32, "count": pl.Int64}
OVERLAP = {
    "module": pl.String,
    "domain_a": pl.String,
    "domain_b": pl.String,
    "intersection": pl.Int64,
    "frac_of_b": pl.Float64,
}
# Module -> (layers, units)
Shapes = Mapping[str, tuple[int, int]]


class Distribution(NamedTuple):
    """The neurons (`schemas.neurons`) and the tables `LAYERS`, `SHARING`, `OVERLAP` that describe them."""

    neurons: pl.DataFrame
    layers: pl.DataFrame
    sharing: pl.DataFrame
    overlap: pl.DataFrame


def by_layer(neurons: pl.DataFrame, shapes: Shapes, domains: Sequence[str]) -> pl.DataFrame:
    """Neurons of a domain in every layer, and their share of the layer's units; layers without any have a row too.

    neurons   `schemas.neurons`
    """
    counted = neurons.group_by("module", "layer", "domain").agg(pl.len().alias("count"))
    found = {(row["module"], row["layer"], row["domain"]): row["count"] for row in counted.iter_rows(named=True)}
    rows = [
        (module, layer, domain, found.get((module, layer, domain), 0), found.get((module, layer, domain), 0) / units)
        for module, (layers, units) in shapes.items()
        for layer in range(layers)
        for domain in domains
    ]
    return pl.DataFrame(rows, schema=LAYERS, orient="row")


def sharing(neurons: pl.DataFrame, modules: Sequence[str], domains: Sequence[str]) -> pl.DataFrame:
    """In how many domains a neuron is specific: a histogram per module."""
    per = neurons.group_by("module", "layer", "index").agg(pl.col("domain").n_unique().alias("n"))
    found = {key: len(part) for key, part in per.group_by("module", "n")}
    rows = [
        (module, number, found.get((module, number), 0)) for module in modules for number in range(1, len(domains) + 1)
    ]
    return pl.DataFrame(rows, schema=SHARING, orient="row")


def overlap(neurons: pl.DataFrame, modules: Sequence[str], domains: Sequence[str]) -> pl.DataFrame:
    """Directed overlap |A and B| / |B| of all pairs of domains; empty where B has no neuron."""
    sets = {
        (module, domain): set(
            neurons.filter((pl.col("module") == module) & (pl.col("domain") == domain)).select("layer", "index").rows()
        )
        for module in modules
        for domain in domains
    }
    rows = [
        (module, a, b, len(common), len(common) / len(sets[module, b]) if sets[module, b] else None)
        for module in modules
        for a in domains
        for b in domains
        for common in [sets[module, a] & sets[module, b]]
    ]
    return pl.DataFrame(rows, schema=OVERLAP, orient="row")


def from_files(neurons: str, summary: str, domains: Sequence[str]) -> Distribution:
    """All tables, from neurons.parquet and neurons.json, which has the shapes of the modules."""
    frame, unordered = tables.read(neurons, schemas.neurons(domains)), shapes_of(summary)
    # The summary sorts its keys; the neurons stand in the order of the family's modules.
    modules = list(dict.fromkeys([*frame["module"].unique(maintain_order=True), *sorted(unordered)]))
    shapes = {module: unordered[module] for module in modules}
    return Distribution(
        frame, by_layer(frame, shapes, domains), sharing(frame, modules, domains), overlap(frame, modules, domains)
    )


def note(assign: str) -> str:
    """What a reader of sharing and overlap must know of the assignment (`mmneuron.identify.assign`)."""
    return "; each neuron goes to its strongest domain alone (assign: highest)" if assign == "highest" else ""


def shapes_of(summary: str) -> dict[str, Any]:
    """Module -> (layers, units)."""
    return {module: tuple(about["shape"]) for module, about in files.read_json(summary).items()}
