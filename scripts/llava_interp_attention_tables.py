"""Write the table of attention beside what blocked attention costs."""

from vlmscope import meta
from vlmscope.llava_interp.attention import tables as attention_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = attention_tables.from_files(
        masses=snakemake.input.records,
        knockout=snakemake.input.knockout,
        told=settings(snakemake.params.settings),
    )
    tables.write(found, snakemake.output.table, attention_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.ATTENTION)
