"""Write how much attention the last token pays to visual tokens."""

from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.attention import run
from vlmscope.llava_interp.attention.tables import MASSES
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(run.from_files, MASSES, snakemake)
