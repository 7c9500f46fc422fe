"""Write which concepts, latents and neurons go with an object."""

from vlmscope import meta
from vlmscope.atlas import destroyed
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = destroyed.from_files(snakemake.input.records, settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, destroyed.DESTROYED)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=destroyed.NOTES)
