"""Write how many neurons a noun shares with itself in other pictures, and with other nouns."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.measures import invariance
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = invariance.cross_from_files(snakemake.input.lists, **settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, invariance.CROSS)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.MEASURES)
