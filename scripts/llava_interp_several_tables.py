"""Write the table of objects that survive what takes another one away."""

from vlmscope import meta
from vlmscope.llava_interp.ablation import several_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = several_tables.from_files(polls=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, several_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.SEVERAL)
