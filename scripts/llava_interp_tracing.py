"""Write what single visual tokens give back to a model that lost them."""

from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.tracing import run
from vlmscope.llava_interp.tracing.tables import TRACES
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(run.from_files, TRACES, snakemake)
