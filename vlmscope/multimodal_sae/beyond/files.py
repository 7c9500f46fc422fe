"""Duplicates, families and comparisons, from files to tables by the name of their output."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.beyond import absorption, concepts, neurons, patch_files
from vlmscope.multimodal_sae.beyond import duplicates as twins
from vlmscope.multimodal_sae.beyond import families as groups
from vlmscope.multimodal_sae.beyond.patch_files import Patches
from vlmscope.stats import Draws
from vlmscope.store import arrays

Found = dict[str, tuple[pl.DataFrame, Mapping[str, Any]]]
Told = Mapping[str, Any]
DUPLICATES = (
    "Chance of cosines: as many random directions with the covariance of the rows, once.",
    "Chance of firing: the pictures of every latent moved on by a number of its own, once.",
    "Intervals of 95 % are over latents: Wilson for shares, normal for means; those of absorption draw pictures.",
)


def _opened(coders: Mapping[str, str], patches: str) -> tuple[Patches, dict[str, Any]]:
    """Patches, and decoder rows of autoencoders; each must be the one that is in the patches."""
    held = patch_files.read(patches)
    rows = {name: patch_files.decoder(path) for name, path in coders.items()}
    for name, own in rows.items():
        if name not in held.coders or own.shape != (held.coders[name].latents, held.states.shape[2]):
            raise VlmscopeError(
                f"The patches were not read with this autoencoder ({own.shape[0]} latents of width {own.shape[1]}).",
                where=f"{coders[name]} and {patches}",
                instead="delete the patches and run snakemake again",
            )
    return held, rows


def duplicates(coders: Mapping[str, str], patches: str, settings: Told) -> Found:
    """Tables duplicates, twins, absorption.

    coders     name -> sae.safetensors
    settings   duplicates, absorption, draws, resamples, seed (multimodal_sae.beyond)
    """
    held, rows = _opened(coders, patches)
    found: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for name, own in rows.items():
        some, more = twins.tables(name, own, held.coders[name], settings["duplicates"], settings["seed"])
        found, pairs = found + some, pairs + more
    centered = {name: (own, arrays.read(coders[name])[0]["b_dec"]) for name, own in rows.items()}
    fitted = absorption.probes_of(held, settings["seed"])
    draws = Draws(settings["resamples"], settings["seed"])
    words = absorption.table(centered, held, fitted, settings["absorption"], draws, settings["draws"])
    return {
        "duplicates": (pl.DataFrame(found, schema=twins.DUPLICATES), twins.DUPLICATES),
        "twins": (pl.DataFrame(pairs, schema=twins.TWINS), twins.TWINS),
        "absorption": (words, absorption.ABSORPTION),
    }


def families(trained: str, patches: str, settings: Told) -> Found:
    """Tables families, map.

    settings   families, draws, seed (multimodal_sae.beyond)
    """
    held, rows = _opened({"trained": trained}, patches)
    summary, places = groups.tables(rows["trained"], held, settings["families"], settings["draws"], settings["seed"])
    return {"families": (summary, groups.FAMILIES), "map": (places, groups.MAP)}


def compare(trained: str, patches: str, settings: Told) -> Found:
    """Tables concepts, neurons, each.

    settings   least, draws, resamples, seed (multimodal_sae.beyond)
    """
    held, rows = _opened({"trained": trained}, patches)
    own, draws = rows["trained"], Draws(settings["resamples"], settings["seed"])
    fitted = absorption.probes_of(held, settings["seed"])
    words = concepts.table(own, held, fitted, draws, settings["draws"])
    summary, each = neurons.tables(own, held, settings["least"], draws, settings["draws"])
    return {
        "concepts": (words, concepts.CONCEPTS),
        "neurons": (summary, neurons.NEURONS),
        "each": (each, neurons.NEURON),
    }
