"""Write the table of changed neurons and its examples."""

from vlmscope import meta
from vlmscope.mm_neurons import notes
from vlmscope.mm_neurons.perturb import tables as perturb_tables
from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = perturb_tables.from_files(
        effects=snakemake.input.effects,
        captions=snakemake.input.captions,
        model=snakemake.input.model,
        settings=settings(snakemake.params.settings),
    )
    tables.write_all(found, snakemake.output)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.PERTURB)
