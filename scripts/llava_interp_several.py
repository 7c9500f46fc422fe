"""Write answers about two objects of which one is taken away."""

from vlmscope.llava_interp.ablation import several
from vlmscope.llava_interp.ablation.several_tables import POLLS
from vlmscope.llava_interp.asking import experiments
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(several.from_files, POLLS, snakemake)
