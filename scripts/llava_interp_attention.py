"""Write how much attention the last token pays to visual tokens."""

from vlmscope.llava_interp import experiments, rollout_run
from vlmscope.llava_interp.rollout_tables import MASSES
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(rollout_run.from_files, MASSES, snakemake)
