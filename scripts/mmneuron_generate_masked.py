"""Write the answers with each domain's own neurons set to zero, all conditions in one job."""

from vlmscope.mmneuron import generate
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = generate.masked(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raws=snakemake.input.raws,
        samples=snakemake.input.samples,
        neurons=snakemake.input.neurons,
        portion=settings(snakemake.params.portion),
        settings=settings(snakemake.params.settings),
        conditions=settings(snakemake.params.conditions),
        batch=snakemake.resources.batch,
    )
    tables.write_each(found, snakemake.output.answers, ANSWERS)
