"""Write states, words, active latents and domain neurons of the patches of pictures."""

from vlmscope.models.load import load
from vlmscope.multimodal_sae.beyond import patches
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    read = snakemake.input
    patches.from_files(
        load(read.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        coders={"trained": read.trained, "untrained": read.untrained},
        raws=read.raws,
        tables=read.samples,
        neurons=read.neurons,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        code=snakemake.params.code,
        target=snakemake.output.patches,
    )
