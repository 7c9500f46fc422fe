"""Write what the vocabulary says of visual tokens."""

from vlmscope.llava_interp.lens import run
from vlmscope.llava_interp.schemas import HITS, SEGMENTATION
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    hits, maps = run.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        target=snakemake.output.shown,
    )
    tables.write(hits, snakemake.output.hits, HITS)
    tables.write(maps, snakemake.output.maps, SEGMENTATION)
