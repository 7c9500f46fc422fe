"""Write answers about two objects of which one is taken away."""

from vlmscope.llava_interp import experiments, several
from vlmscope.llava_interp.several_tables import POLLS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(several.from_files, POLLS, snakemake)
