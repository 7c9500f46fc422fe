"""Write how near latents are to vectors of words and to domain neurons."""

from vlmscope import meta
from vlmscope.multimodal_sae.beyond import concepts, files
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    read, out = snakemake.input, snakemake.output
    found = files.compare(read.trained, read.patches, settings(snakemake.params.settings))
    tables.write_all(found, out)
    meta.write(out.meta, out.concepts, snakemake.params, read, notes=concepts.NOTES)
