"""Draw what a model answered before and after a latent was held."""

from vlmscope.multimodal_sae.figures import cards
from vlmscope.session import logged, settings
from vlmscope.show import concept_figures
from vlmscope.show import steer_cards as show

with logged(snakemake.log[0]):
    read, out = snakemake.input, snakemake.output
    told = settings(snakemake.params.settings)
    card = cards.from_files(read.categories, read.raw, read.samples, int(snakemake.wildcards.feature), told)
    show.draw(card, concept_figures.title(settings(snakemake.params.look)), out.figure, out.picture)
