"""Write how far autoencoders of several seeds have the same latents."""

from vlmscope import meta
from vlmscope.multimodal_sae.beyond import stability, stability_files
from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    read, out = snakemake.input, snakemake.output
    found = stability_files.from_files(
        read.trained, read.others, patches=read.patches, settings=settings(snakemake.params.settings)
    )
    tables.write_all(found, out)
    meta.write(out.meta, out.stability, snakemake.params, read, notes=stability.NOTES)
