"""Write answers without tokens that attention, length or lens chose."""

from vlmscope.llava_interp import choices
from vlmscope.llava_interp.choices_tables import CHOICES
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = choices.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        vector=snakemake.input.vector,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, CHOICES)
    files.write_json(funnel, snakemake.output.funnel)
