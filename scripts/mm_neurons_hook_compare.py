"""Write how far the lists by either definition of activation agree."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.measures import compare
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = compare.from_files(snakemake.input.neurons, **settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, compare.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.COMPARED)
