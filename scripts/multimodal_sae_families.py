"""Write groups of latents, and the map of them."""

from vlmscope import meta
from vlmscope.multimodal_sae.beyond import families, files
from vlmscope.session import logged, settings
from vlmscope.show import latent_map
from vlmscope.store import tables

with logged(snakemake.log[0]):
    read, out = snakemake.input, snakemake.output
    found = files.families(read.trained, read.patches, settings(snakemake.params.settings))
    tables.write_all(found, out)
    latent_map.draw(found["map"][0], latent_map.title(**settings(snakemake.params.about)), out.figure, out.picture)
    meta.write(out.meta, out.families, snakemake.params, read, notes=families.NOTES)
