"""The quality of an autoencoder beside its controls, from files to tables."""

from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.coder import checkpoint, sae
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.quality import loop, measures
from vlmscope.multimodal_sae.quality.measures import Coder
from vlmscope.multimodal_sae.train import run as train_run
from vlmscope.multimodal_sae.train import states
from vlmscope.multimodal_sae.train.job import Job


def coders(
    loaded: Loaded, coder: SparseCoder, job: Job, fitted: int
) -> tuple[dict[str, Coder], dict[str, SparseCoder]]:
    """A trained autoencoder beside its controls, and those of them that are autoencoders.

    job      whose states mean and components are taken from: those of the training
    fitted   how many of these states
    """
    with train_run.opened(job, loaded) as stream:
        mean, axes, _ = measures.components((block for _, block in stream.blocks(0)), fitted)
    mean, axes, k = mean.to(loaded.device), axes.to(loaded.device), coder.config.k
    untrained = sae.untrained(coder, job.settings["seed"])
    untrained.b_dec.copy_(mean)
    own = {"trained": coder, "untrained": untrained}
    every = {name: measures.of_sae(one) for name, one in own.items()}
    every |= {"pca": measures.of_components(mean, axes, k, largest=False)}
    return every | {"pca_topk": measures.of_components(mean, axes, k, largest=True)}, own


def from_files(
    loaded: Loaded, *, weights: str, job: Job, held_out: dict[str, Any], settings: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Quality and densities: the trained autoencoder, an untrained one, principal components with as many numbers.

    weights    sae.safetensors in the autoencoder's folder
    job        whose states mean and components are taken from: those of the training
    held_out   raws, tables, kinds and settings of the capture that is measured
    settings   multimodal_sae.quality
    """
    coder = checkpoint.read(Path(weights).parent).to(loaded.device).requires_grad_(False)
    every, own = coders(loaded, coder, job, settings["fitted"])
    looked = loop.Looked(loaded, states.take_of(loaded, job.site), every, settings["keep_first"])
    fewer = held_out["settings"] | {"samples": min(settings["samples"], held_out["settings"]["samples"])}
    source = states.streamed(loaded, job.site, **(held_out | {"settings": fewer}), batch=job.batch, seed=0)
    given = (source.samples, source.prompts, source.pictures)
    stream, rounds = loop.written(loaded, *given, job.batch, settings["max_new_tokens"])
    latents = {name: own[name].config.latents if name in own else coder.config.d for name in every}
    sums, firing, losses = loop.measure(looked, stream, rounds, latents)
    shapes = {name: measures.geometry(one) for name, one in own.items()}
    table = loop.table(sums, firing, losses, shapes)
    bars = [(name, *bar) for name in shapes for bar in firing[name].histogram(settings["bins"])]
    return table, pl.DataFrame(bars, schema=loop.DENSITY, orient="row")
