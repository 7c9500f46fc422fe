"""Write the table of ablations."""

from vlmscope import meta
from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = ablation_tables.from_files(
        ablation=snakemake.input.ablation,
        vqa=snakemake.input.vqa,
        told=settings(snakemake.params.settings),
    )
    tables.write(found, snakemake.output.table, ablation_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.ABLATION)
