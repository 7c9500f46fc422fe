"""Write the tables of layers and models."""

from vlmscope import meta
from vlmscope.multimodal_sae.tables import small_tables
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    out = snakemake.output
    tables.write_all(small_tables.of_files(snakemake.input.scores, **settings(snakemake.params.models)), out)
    meta.write(out.meta, out.layers, snakemake.params, snakemake.input.scores, notes=small_tables.NOTES)
