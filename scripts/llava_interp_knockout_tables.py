"""Write the tables of blocked attention."""

from vlmscope import meta
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = knockout_tables.from_files(
        knockout=snakemake.input.knockout,
        told=settings(snakemake.params.settings),
    )
    tables.write_all(found, snakemake.output)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.KNOCKOUT)
