"""Write what the lens and the model say of objects that are there and of others."""

from vlmscope.llava_interp import detector
from vlmscope.llava_interp.detector_tables import DETECTED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, funnel = detector.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.records, DETECTED)
    files.write_json(funnel, snakemake.output.funnel)
