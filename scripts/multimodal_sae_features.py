"""Write the feature browser: overview, pages of latents, regions of pictures."""

from contextlib import ExitStack

from vlmscope.multimodal_sae.look import browse
from vlmscope.session import logged, settings
from vlmscope.show import latent_pages

with logged(snakemake.log[0]), ExitStack() as stack:
    found = browse.from_files(stack, snakemake.input, settings(snakemake.params.settings))
    latent_pages.write(
        found.overview(),
        found.pages(),
        found.regions(),
        target=snakemake.output.folder,
        **settings(snakemake.params.look),
    )
