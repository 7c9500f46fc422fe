"""Write the table of traced patches."""

from vlmscope import meta
from vlmscope.llava_interp.tables import notes
from vlmscope.llava_interp.tracing import tables as tracing_tables
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = tracing_tables.from_files(traces=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, tracing_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.TRACING)
