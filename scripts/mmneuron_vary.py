"""Measure deviation and answers with more or fewer neurons, and with other edits than zero."""

from vlmscope.mmneuron import vary
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    rows = vary.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raws=snakemake.input.raws,
        samples=snakemake.input.samples,
        counts=snakemake.input.counts,
        portion=settings(snakemake.params.portion),
        settings=settings(snakemake.params.settings),
        conditions=settings(snakemake.params.conditions),
        batch=snakemake.resources.batch,
    )
    tables.write(rows, snakemake.output.rows, PERTURBED)
