"""Write how many of a noun's neurons stay when the image tokens change places."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.measures import invariance
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = invariance.region_from_files(
        snakemake.input.neurons,
        snakemake.input.shuffled,
        snakemake.input.nouns,
        snakemake.input.tokens,
        **settings(snakemake.params.settings),
    )
    tables.write(found, snakemake.output.table, invariance.REGION)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.MEASURES)
