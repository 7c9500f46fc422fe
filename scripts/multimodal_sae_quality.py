"""Measure an autoencoder on held-out pictures, beside controls."""

from vlmscope import meta
from vlmscope.models.load import load
from vlmscope.multimodal_sae.quality import judged, loop
from vlmscope.multimodal_sae.train import job
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.show import sparse
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    quality, density = judged.from_files(
        load(read.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=read.weights,
        job=job.again(told, settings(snakemake.params.data), read, snakemake.resources.batch),
        held_out=job.read_from(settings(snakemake.params.held_out), read.held_raws, read.held_samples),
        settings=told["quality"],
    )
    tables.write(quality, out.quality, loop.QUALITY)
    tables.write(density, out.density, loop.DENSITY)
    sparse.density(density, sparse.title(**settings(snakemake.params.about)), out.figure, out.picture)
    meta.write(out.meta, out.quality, snakemake.params, read, notes=loop.NOTES)
