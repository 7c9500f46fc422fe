"""Choose the latents that are drawn."""

from vlmscope.multimodal_sae.figures import choice
from vlmscope.session import logged, settings
from vlmscope.store import files

with logged(snakemake.log[0]):
    found = choice.from_files(**snakemake.input, settings=settings(snakemake.params.settings))
    files.write_json(found, snakemake.output.chosen)
