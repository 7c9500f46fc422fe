"""Draw a latent's region, what its name stands for and their IoU, picture by picture."""

from vlmscope.multimodal_sae.figures import latents
from vlmscope.session import logged, settings
from vlmscope.show import concept_figures, overlays

with logged(snakemake.log[0]):
    feature = snakemake.wildcards.feature
    rows = latents.example_from_files(int(feature), snakemake.input, settings(snakemake.params.settings))
    title = f"IoU of latent {feature}: {concept_figures.title(settings(snakemake.params.look))}"
    overlays.draw(rows, title, latents.EXAMPLE_NOTE, snakemake.output.picture)
