"""Write the pictures of latents with their masks, in the released layout."""

from vlmscope.multimodal_sae.figures import image_activations
from vlmscope.session import logged, settings

with logged(snakemake.log[0]):
    read, told = snakemake.input, settings(snakemake.params.settings)
    image_activations.from_files(read.cache, read.raws, read.samples, told, snakemake.output.folder)
