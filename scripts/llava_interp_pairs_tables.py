"""Write the table of states put into twins."""

from vlmscope import meta
from vlmscope.llava_interp.tables import notes
from vlmscope.llava_interp.tracing import pairs_tables
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = pairs_tables.from_files(pairs=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, pairs_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.PAIRS)
