"""Write autoencoder and cache in the layouts of the released code and of SAELens."""

from vlmscope.multimodal_sae.cache import export
from vlmscope.session import logged, settings

with logged(snakemake.log[0]):
    export.from_files(
        snakemake.input.weights, snakemake.input.cache, snakemake.output.files, **settings(snakemake.params.settings)
    )
