"""Write how few neurons the nouns of a picture share."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.measures import specificity
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = specificity.from_files(snakemake.input.lists, **settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, specificity.SPECIFICITY)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.MEASURES)
