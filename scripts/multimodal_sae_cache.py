"""Write the active latents of pictures."""

from vlmscope.models.load import load
from vlmscope.multimodal_sae.cache import passes
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    passes.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=snakemake.input.weights,
        raws=snakemake.input.raws,
        tables=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        code=snakemake.params.code,
        target=snakemake.output.cache,
    )
