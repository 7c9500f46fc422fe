"""Write the table of tokens that attention, length or lens chose."""

from vlmscope import meta
from vlmscope.llava_interp.ablation import choices_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = choices_tables.from_files(choices=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, choices_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.CHOICES)
