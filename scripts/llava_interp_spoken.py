"""Write descriptions under blocked attention."""

from vlmscope.llava_interp import experiments, spoken
from vlmscope.llava_interp.spoken_tables import SPOKEN
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(spoken.from_files, SPOKEN, snakemake)
