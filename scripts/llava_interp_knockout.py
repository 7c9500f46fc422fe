"""Write the answers of a model whose attention is blocked."""

from vlmscope.llava_interp import knockout_run
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = knockout_run.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, KNOCKOUTS)
    files.write_json(funnel, snakemake.output.funnel)
