"""Write the table of descriptions under blocked attention."""

from vlmscope import meta
from vlmscope.llava_interp.knockout import spoken_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = spoken_tables.from_files(spoken=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, spoken_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.SPOKEN)
