"""Write the active latents of conversations."""

from vlmscope.multimodal_sae.text import features
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    features.from_files(
        snakemake.input.model,
        device(snakemake.resources.gpu, snakemake.resources.device),
        weights=snakemake.input.weights,
        tables=snakemake.input.samples,
        kinds=settings(snakemake.params.kinds),
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        code=snakemake.params.code,
        target=snakemake.output.cache,
    )
