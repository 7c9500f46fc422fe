"""List the results of one system and one model."""

from vlmscope import meta
from vlmscope.session import logged
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    write_json(
        meta.listing(snakemake.wildcards.system, snakemake.wildcards.model, snakemake.input), snakemake.output[0]
    )
