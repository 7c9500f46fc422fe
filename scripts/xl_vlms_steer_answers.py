"""Write answers without steering, under every vector and strength, and under controls."""

from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.steer import answers
from vlmscope.xl_vlms.steer.schemas import STEERED

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    rows = answers.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples_table=snakemake.input.samples,
        steering=snakemake.input.vectors,
        paired=snakemake.input.paired,
        settings={**settings(snakemake.params.settings), **settings(snakemake.params.trying)},
        batch=snakemake.resources.batch,
    )
    tables.write(rows, snakemake.output.rows, STEERED)
