"""Variations of the own-domain deactivation: more and fewer neurons, the mean or a multiple instead of zero."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope.edits import Change
from vlmscope.mmneuron import generate, identify, masks, modules, perturb
from vlmscope.mmneuron.masks import Units
from vlmscope.mmneuron.perturb import UNTOUCHED, Mask
from vlmscope.models.load import Loaded
from vlmscope.store.shards import DomainCounts, read_counts


def mask_list(
    counts: Mapping[str, DomainCounts],
    sites: Mapping[str, str],
    domain: str,
    condition: str,
    settings: Mapping[str, Any],
    widths: Mapping[str, int],
) -> list[Mask]:
    """Untouched; the domain's neurons set to zero, to their mean, scaled; and zeroed at every share of neurons.

    counts    module -> counts of all domains, modules of the condition only
    settings  identify, and vary: rates, scales, random_seeds
    Beside every share stand as many random neurons.
    """
    identified, chosen = settings["identify"], settings["vary"]
    own = own_units(counts, sites, domain, identified)
    means = {sites[module]: mean_activation(one) for module, one in counts.items()}
    found = [UNTOUCHED, Mask("zero", condition, "", Change(own)), Mask("mean", condition, "", Change(own, 0.0, means))]
    found += [Mask("scale", condition, f"{factor:g}", Change(own, factor)) for factor in chosen["scales"]]
    for rate in chosen["rates"]:
        units = own_units(counts, sites, domain, {**identified, "top_rate": rate})
        found.append(Mask("dose", condition, f"{rate:g}", Change(units)))
        for seed in chosen["random_seeds"]:
            drawn = masks.random_like(units, widths, seed)
            found.append(Mask("dose_random", condition, f"{rate:g}:{seed}", Change(drawn)))
    return found


def own_units(
    counts: Mapping[str, DomainCounts], sites: Mapping[str, str], domain: str, settings: Mapping[str, Any]
) -> Units:
    """The domain's neurons as identification with these settings finds them."""
    found: Units = {}
    for module, one in counts.items():
        members = identify.select(one.fired, one.seen, **settings).members[one.domains.index(domain)]
        layers = {layer: np.flatnonzero(row).tolist() for layer, row in enumerate(members)}
        found[sites[module]] = {layer: units for layer, units in layers.items() if units}
    return found


def mean_activation(counts: DomainCounts) -> np.ndarray:
    """Mean over all recorded positions of all domains, each domain weighing the same, float64 [layer, unit]."""
    return (counts.total / counts.seen[:, None, None]).mean(axis=0)


def from_files(
    loaded: Loaded,
    *,
    raws: Sequence[str],
    samples: Sequence[str],
    counts: Sequence[str],
    portion: Mapping[str, str],
    settings: Mapping[str, Any],
    conditions: Sequence[tuple[str, list[str]]],
    batch: int,
) -> pl.DataFrame:
    """Rows of all variations for some domains, as `schemas.PERTURBED`.

    portion   domain -> benchmark format, the domains that are measured
    counts    index files in the order of settings["domains"]
    """
    family, condition = loaded.family.name, settings["vary"]["condition"]
    indices = dict(zip(settings["domains"], counts, strict=True))
    recorded = {name: read_counts(indices, modules.take_name(family, name)) for name in dict(conditions)[condition]}

    def changes(domain: str) -> list[Mask]:
        return mask_list(recorded, modules.sites(family), domain, condition, settings, perturb.widths(loaded))

    decoding, most = generate.Decoding(**settings["generate"]), settings["vary"]["samples"]
    return perturb.over_domains(loaded, portion, raws, samples, decoding, changes, most, batch)
