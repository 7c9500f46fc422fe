"""Write the table of the affine lens beside the plain one."""

from vlmscope import meta
from vlmscope.llava_interp.lens import tuned_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = tuned_tables.from_files(hits=snakemake.input.hits, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, tuned_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.TUNED)
