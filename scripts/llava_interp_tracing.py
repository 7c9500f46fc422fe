"""Write what single visual tokens give back to a model that lost them."""

from vlmscope.llava_interp import experiments, tracing_run
from vlmscope.llava_interp.tracing_tables import TRACES
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(tracing_run.from_files, TRACES, snakemake)
