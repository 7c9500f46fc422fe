"""Close one dataset's part of a capture: samples, shards and their digests."""

from vlmscope.session import logged
from vlmscope.store import shards

with logged(snakemake.log[0]):
    shards.close_index(snakemake.output.index, snakemake.input.shards, dict(snakemake.wildcards.items()))
