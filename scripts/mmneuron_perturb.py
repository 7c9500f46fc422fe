"""Measure deviation and answers under own, other and random masks for some domains."""

from vlmscope.mmneuron import perturb
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    rows = perturb.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raws=snakemake.input.raws,
        samples=snakemake.input.samples,
        neurons=snakemake.input.neurons,
        portion=settings(snakemake.params.portion),
        settings=settings(snakemake.params.settings),
        conditions=settings(snakemake.params.conditions),
        batch=snakemake.resources.batch,
    )
    tables.write(rows, snakemake.output.rows, PERTURBED)
