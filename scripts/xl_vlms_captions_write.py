"""Write captions under every vector of a style, and under its controls."""

from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.captions import steering as caption_steering
from vlmscope.xl_vlms.steer.schemas import STEERED

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    rows = caption_steering.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples_table=snakemake.input.samples,
        steering=snakemake.input.steering,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(rows, snakemake.output.rows, STEERED)
