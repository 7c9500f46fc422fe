"""Draw the best latents with the pictures that they are highest in."""

from vlmscope.multimodal_sae.figures import latents
from vlmscope.session import logged, settings
from vlmscope.show import concept_figures, overlays

with logged(snakemake.log[0]):
    rows = latents.concepts_from_files(snakemake.input, settings(snakemake.params.settings))
    title = concept_figures.title(settings(snakemake.params.look))
    overlays.draw(rows, f"What latents stand for: {title}", latents.CONCEPTS_NOTE, snakemake.output.picture)
