"""Choose the latents that are drawn."""

from vlmscope.multimodal_sae import latent_choice
from vlmscope.session import logged, settings
from vlmscope.store import files

with logged(snakemake.log[0]):
    found = latent_choice.from_files(**snakemake.input, settings=settings(snakemake.params.settings))
    files.write_json(found, snakemake.output.chosen)
