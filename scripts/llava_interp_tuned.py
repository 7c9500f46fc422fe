"""Fit an affine lens and write what it says of visual tokens."""

from vlmscope.llava_interp.lens import tuned, tuned_run
from vlmscope.llava_interp.lens.tuned_tables import HITS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables, tensors

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    maps, about, found = tuned_run.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        fitted=snakemake.input.fitted,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tensors.write(tuned.tensors(maps), snakemake.output.maps, about)
    tables.write(found, snakemake.output.hits, HITS)
