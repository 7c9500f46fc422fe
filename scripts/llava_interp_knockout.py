"""Write the answers of a model whose attention is blocked."""

from vlmscope.llava_interp import experiments, knockout_run
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(knockout_run.from_files, KNOCKOUTS, snakemake)
