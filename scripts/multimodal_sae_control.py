"""Write an untrained autoencoder and the active latents that it finds in the same pictures."""

from vlmscope.models.load import load
from vlmscope.multimodal_sae.cache import control
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told = settings(snakemake.params.settings)
    control.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        trained=snakemake.input.weights,
        weights=snakemake.output.weights,
        seed=told.pop("seed"),
        raws=snakemake.input.raws,
        tables=snakemake.input.samples,
        settings=told,
        batch=snakemake.resources.batch,
        code=snakemake.params.code,
        target=snakemake.output.cache,
    )
