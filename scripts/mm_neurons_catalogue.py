"""Write the catalogue of nouns, as tables and as a page."""

from vlmscope.mm_neurons.look import catalogue
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.session import logged, settings
from vlmscope.show import nouns
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = catalogue.from_files(
        nouns=snakemake.input.nouns,
        tokens=snakemake.input.tokens,
        neurons=snakemake.input.neurons,
        settings=settings(snakemake.params.settings),
    )
    tables.write(found["catalogue"], snakemake.output.catalogue, catalogue.CATALOGUE)
    tables.write(found["neurons"], snakemake.output.neurons, catalogue.NEURONS)
    shown = catalogue.page(found, tables.read(snakemake.input.tokens, NEURON_TOKENS))
    nouns.catalogue(shown, target=snakemake.output.page, **settings(snakemake.params.look))
