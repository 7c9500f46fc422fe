"""Write the table of states taken away at one layer."""

from vlmscope import meta
from vlmscope.llava_interp.ablation import layers_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = layers_tables.from_files(layers=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, layers_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.LAYERS)
