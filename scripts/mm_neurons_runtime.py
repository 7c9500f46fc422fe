"""Write what every stage cost."""

from vlmscope.mm_neurons import runtime
from vlmscope.session import logged
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = runtime.from_files(
        snakemake.input.benchmarks, snakemake.input.shards, f"results/mm_neurons/{snakemake.wildcards.model}"
    )
    tables.write(found, snakemake.output.table, runtime.RUNTIME)
