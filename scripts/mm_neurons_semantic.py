"""Write what the neurons of nouns write, as scores of texts and as matches, in a wide and in a long table."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.measures import semantic
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    table, long = semantic.from_files(
        snakemake.input.lists,
        captions=snakemake.input.captions,
        nouns=snakemake.input.nouns,
        tokens=snakemake.input.tokens,
        similarities=snakemake.input.similarities,
        settings=settings(snakemake.params.settings),
    )
    tables.write(table, snakemake.output.table, semantic.SEMANTIC)
    tables.write(long, snakemake.output.long, semantic.LONG)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.MEASURES)
