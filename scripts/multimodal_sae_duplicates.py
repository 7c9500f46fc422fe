"""Write which latents say the same, and which words other latents have absorbed."""

from vlmscope import meta
from vlmscope.multimodal_sae.beyond import files
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    read, out = snakemake.input, snakemake.output
    coders = {"trained": read.trained, "untrained": read.untrained}
    found = files.duplicates(coders, read.patches, settings(snakemake.params.settings))
    tables.write_all(found, out)
    meta.write(out.meta, out.duplicates, snakemake.params, read, notes=files.DUPLICATES)
