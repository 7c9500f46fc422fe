"""Read a domain's counts from an activation file of the released code."""

from vlmscope.mmneuron.exchange import counts
from vlmscope.session import logged

with logged(snakemake.log[0]):
    counts.import_shard(snakemake.input.log, snakemake.input.model, snakemake.wildcards.dataset, snakemake.output.shard)
