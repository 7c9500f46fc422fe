"""Write how many neurons of words are neurons of domains, beside chance."""

from vlmscope import meta
from vlmscope.atlas import neurons
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    read, out = snakemake.input, snakemake.output
    found = neurons.from_files(
        domain_neurons=read.domain_neurons,
        shapes=read.shapes,
        word_neurons=read.word_neurons,
        words=list(settings(snakemake.params.words).values()),
        settings=settings(snakemake.params.settings),
    )
    tables.write(found, out.table, neurons.NEURONS)
    meta.write(out.meta, out.table, snakemake.params, read, notes=neurons.NOTES)
