"""Write answers about two objects of which one is taken away."""

from vlmscope.llava_interp import several
from vlmscope.llava_interp.several_tables import POLLS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = several.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        vector=snakemake.input.vector,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, POLLS)
    files.write_json(funnel, snakemake.output.funnel)
