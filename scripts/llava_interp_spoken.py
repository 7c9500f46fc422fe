"""Write descriptions under blocked attention."""

from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.knockout import spoken
from vlmscope.llava_interp.knockout.spoken_tables import SPOKEN
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(spoken.from_files, SPOKEN, snakemake)
