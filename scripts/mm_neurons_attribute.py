"""Write the gradient baseline's neurons and the exact parts of every noun's logit."""

from vlmscope.mm_neurons.rank import attribute
from vlmscope.mm_neurons.schemas import ATTRIBUTION
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    parts = attribute.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        snakemake.output.gradient,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        captions=snakemake.input.captions,
        nouns=snakemake.input.nouns,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(parts, snakemake.output.attribution, ATTRIBUTION)
