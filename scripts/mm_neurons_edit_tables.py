"""Write the table of edits and its examples."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.edit import tables as edit_tables
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = edit_tables.from_files(rows=snakemake.input.rows, settings=settings(snakemake.params.settings))
    tables.write_all(found, snakemake.output)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.EDIT)
