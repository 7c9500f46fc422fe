"""Measure what the edits of all pairs do at once."""

from vlmscope.mm_neurons.edit import jobs as edit_jobs
from vlmscope.mm_neurons.schemas import EDITED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    rows = edit_jobs.stacked(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        pairs=settings(snakemake.params.pairs),
        edits=snakemake.input.edits,
        files=snakemake.input,
        settings=settings(snakemake.params.settings),
        choice=settings(snakemake.params.choice),
        batch=snakemake.resources.batch,
    )
    tables.write(rows, snakemake.output.rows, EDITED)
