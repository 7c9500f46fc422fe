"""Write descriptions under blocked attention."""

from vlmscope.llava_interp import spoken
from vlmscope.llava_interp.spoken_tables import SPOKEN
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = spoken.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, SPOKEN)
    files.write_json(funnel, snakemake.output.funnel)
