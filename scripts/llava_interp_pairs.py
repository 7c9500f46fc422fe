"""Write answers of twins with states of their pictures."""

from vlmscope.llava_interp import experiments, pairs
from vlmscope.llava_interp.pairs_tables import PAIRS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(pairs.from_files, PAIRS, snakemake)
