"""Write how much attention the last token pays to visual tokens."""

from vlmscope.llava_interp import rollout_run
from vlmscope.llava_interp.rollout_tables import MASSES
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = rollout_run.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, MASSES)
    files.write_json(funnel, snakemake.output.funnel)
