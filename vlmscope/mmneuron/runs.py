"""Model steps of this system, from files to values: what the scripts of GPU rules call."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope.capture.batches import picture_of
from vlmscope.datasets import base
from vlmscope.mmneuron import generate, masks, modules, perturb
from vlmscope.mmneuron.inputs import read_neurons, read_samples
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.session import progress


def answer(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    settings: Mapping[str, Any],
    conditions: dict[str, masks.Units],
    batch: int,
) -> pl.DataFrame:
    """Answers of one domain under every condition."""
    benchmark, picture = base.load(settings["kind"]), picture_of(read_manifest(raw)["root"])
    decoding = generate.Decoding(**settings["generate"])
    asked = generate.questions(read_samples(samples))
    parts = generate.answers(
        loaded, asked, lambda one: benchmark.prompt(one, "full"), picture, conditions, decoding, batch
    )
    rounds = len(asked) if decoding.decode == "sampling" else math.ceil(len(asked) / batch)
    return generate.arranged(list(progress(parts, rounds, "batches")), asked, list(conditions))


def own_masks(
    paths: Sequence[str], domains: Sequence[str], family: str, domain: str, conditions: Sequence[tuple[str, list[str]]]
) -> dict[str, masks.Units]:
    """Condition -> units of the domain's own neurons."""
    neurons = read_neurons(paths, domains)
    return {name: masks.of_domain(neurons, family, domain, chosen) for name, chosen in conditions}


def perturbed(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    neurons: Sequence[str],
    domain: str,
    settings: Mapping[str, Any],
    conditions: Sequence[tuple[str, list[str]]],
    batch: int,
) -> pl.DataFrame:
    """Rows of the effect measurement of one domain, in the order of the samples."""
    benchmark, picture = base.load(settings["kind"]), picture_of(read_manifest(raw)["root"])
    asked = generate.questions(read_samples(samples))[: settings["effects"]["samples"]]
    family, sites = loaded.family.name, modules.sites(loaded.family.name)
    widths = {site: loaded.family.site(site).width(loaded.config) for site in sites.values()}
    sets = perturb.mask_sets(
        read_neurons(neurons, settings["domains"]),
        family,
        domain,
        settings["domains"],
        dict(conditions)[settings["effects"]["condition"]],
        widths,
        settings["effects"]["random_seeds"],
    )
    decoding = generate.Decoding(**settings["generate"])
    parts = perturb.rows(loaded, asked, lambda one: benchmark.prompt(one, "full"), picture, sets, decoding, batch)
    done = pl.concat(progress(parts, math.ceil(len(asked) / batch), "batches"))
    order = pl.col("sample").replace_strict({one.sample: k for k, one in enumerate(asked)}, return_dtype=pl.Int32)
    return done.sort(order, maintain_order=True)
