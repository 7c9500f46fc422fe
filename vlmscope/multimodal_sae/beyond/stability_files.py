"""Stability over seeds, from files to tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from vlmscope.multimodal_sae.beyond import cosines, patch_files, patches, stability
from vlmscope.multimodal_sae.beyond.patch_files import Patches
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.score.classes import choose
from vlmscope.stats import Draws


def from_files(
    trained: str, others: Sequence[str], *, patches: str, settings: Mapping[str, Any]
) -> dict[str, tuple[pl.DataFrame, Mapping[str, Any]]]:
    """Tables by the name of their output: stability, words.

    trained, others   sae.safetensors in the folders of the autoencoders
    settings          own (multimodal_sae.beyond.stability), train (its seed), resamples, seed
    """
    own, held = settings["own"], patch_files.read(patches)
    names = [f"seed {seed}" for seed in (settings["train"], *own["seeds"])]
    coders = {name: _read(path) for name, path in zip(names, (trained, *others), strict=True)}
    active = _active(coders, held)
    rows = {name: _rows(coder) for name, coder in coders.items()}
    seeds = dict(zip(names, (settings["train"], *own["seeds"]), strict=True))
    # A seed of its own: no untrained one is what a trained one began as.
    fresh = {name: _rows(SparseCoder(one.config, seed=1000 + seeds[name])) for name, one in coders.items()}
    fired = {name: one.fired for name, one in active.items()}
    found = stability.table(rows, fired, fresh, held.flat, own["matched"], settings["seed"])
    words = _words(rows, active, held, Draws(settings["resamples"], settings["seed"]))
    return {"stability": (found, stability.STABILITY), "words": (words, stability.WORDS)}


def _read(path: str) -> SparseCoder:
    return checkpoint.read(Path(path).parent).requires_grad_(False)


def _rows(coder: SparseCoder) -> np.ndarray:
    return cosines.unit(coder.W_dec.detach().numpy())


@torch.inference_mode()
def _active(coders: Mapping[str, SparseCoder], held: Patches) -> dict[str, Active]:
    """Active latents of all autoencoders; those of the first are kept already."""
    first, *rest = coders
    found = {name: patches.coded(coders[name], held.looks, held.states) for name in rest}
    return {first: held.coders["trained"], **found}


def _words(rows: Mapping[str, np.ndarray], active: Mapping[str, Active], held: Patches, draws: Draws) -> pl.DataFrame:
    """Table `WORDS`; without rows where nothing is known of the pictures, or there is no other seed."""
    first, *others = rows
    if not held.words or not others:
        return pl.DataFrame(schema=stability.WORDS)
    best, found = choose(active[first], held.shows), []
    for name in others:
        match = cosines.nearest(rows[first], rows[name])
        partner = match[1][best.latent][:, None] == np.arange(len(rows[name]))
        chosen = (choose(active[name], held.shows, partner), choose(active[name], held.shows))
        found.append(stability.of_words(held.words, name, best, match, active[first].fired, *chosen, draws))
    return pl.concat(found)
