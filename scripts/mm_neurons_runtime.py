"""Write what every stage cost."""

from vlmscope.mm_neurons.look import runtime
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = runtime.from_files(settings(snakemake.params.stages))
    tables.write(found, snakemake.output.table, runtime.RUNTIME)
