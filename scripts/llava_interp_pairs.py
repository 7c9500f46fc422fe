"""Write answers of twins with states of their pictures."""

from vlmscope.llava_interp import pairs
from vlmscope.llava_interp.pairs_tables import PAIRS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = pairs.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, PAIRS)
    files.write_json(funnel, snakemake.output.funnel)
