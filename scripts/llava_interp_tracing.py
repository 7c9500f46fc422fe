"""Write what single visual tokens give back to a model that lost them."""

from vlmscope.llava_interp import tracing_run
from vlmscope.llava_interp.tracing_tables import TRACES
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = tracing_run.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        vector=snakemake.input.vector,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, TRACES)
    files.write_json(funnel, snakemake.output.funnel)
