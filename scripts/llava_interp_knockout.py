"""Write the answers of a model whose attention is blocked."""

from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.knockout import run
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(run.from_files, KNOCKOUTS, snakemake)
