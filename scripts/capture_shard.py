"""Run one part of a dataset through the model and keep what the takes ask for."""

from vlmscope.capture import shard
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    shard.make(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        shard=int(snakemake.wildcards.shard),
        batch=snakemake.resources.batch,
        code=snakemake.params.code,
        target=snakemake.output.shard,
    )
