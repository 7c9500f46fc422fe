"""Write whether the neurons of a noun are active where the thing is."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.measures import sensitivity
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = sensitivity.from_files(
        snakemake.input.maps,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
    )
    tables.write(found, snakemake.output.table, sensitivity.SENSITIVITY)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.MEASURES)
