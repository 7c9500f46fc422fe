"""Write the gallery of captions, nouns and their neurons."""

from vlmscope.mm_neurons.look import gallery
from vlmscope.mm_neurons.results import Results
from vlmscope.session import logged, settings
from vlmscope.show import nouns

with logged(snakemake.log[0]):
    found = gallery.from_files(Results.of(snakemake.input), settings(snakemake.params.settings))
    nouns.gallery(found.data, found.pictures, target=snakemake.output.page, **settings(snakemake.params.look))
