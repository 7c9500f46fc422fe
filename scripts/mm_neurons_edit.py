"""Make an edit that turns one word into another, and measure what it does."""

from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit import jobs as edit_jobs
from vlmscope.mm_neurons.schemas import EDITED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    edit, rows = edit_jobs.single(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        pair=settings(snakemake.params.pair),
        method=snakemake.wildcards.method,
        files=snakemake.input,
        settings=settings(snakemake.params.settings),
        edit=settings(snakemake.params.edit),
        batch=snakemake.resources.batch,
    )
    edit_files.write(edit, snakemake.output.edit)
    tables.write(rows, snakemake.output.rows, EDITED)
