"""Write answers to the pictures' own questions of a model whose visual tokens are partly taken away."""

from vlmscope.llava_interp import ablate
from vlmscope.llava_interp.schemas import RECORDS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = ablate.answered(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        vector=snakemake.input.vector,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, RECORDS)
    files.write_json(funnel, snakemake.output.funnel)
