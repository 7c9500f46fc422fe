"""Write the gallery of captions, nouns and their neurons."""

from vlmscope.mm_neurons import gallery
from vlmscope.session import logged, settings
from vlmscope.show import nouns

with logged(snakemake.log[0]):
    found = gallery.from_files(
        captions=snakemake.input.captions,
        nouns=snakemake.input.nouns,
        tokens=snakemake.input.tokens,
        neurons=snakemake.input.neurons,
        maps=snakemake.input.maps,
        effects=snakemake.input.effects,
        settings=settings(snakemake.params.settings),
    )
    nouns.gallery(found.data, found.pictures, target=snakemake.output.page, **settings(snakemake.params.look))
