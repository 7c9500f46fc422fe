"""Write the mean visual token of a model."""

from vlmscope.llava_interp.asking import mean
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = mean.vector(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        published=snakemake.input.published,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    mean.write(*found, snakemake.output.vector)
