"""Write answers to the pictures' own questions of a model whose visual tokens are partly taken away."""

from vlmscope.llava_interp.ablation import run
from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.schemas import RECORDS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(run.answered, RECORDS, snakemake)
