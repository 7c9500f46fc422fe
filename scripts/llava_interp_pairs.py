"""Write answers of twins with states of their pictures."""

from vlmscope.llava_interp.asking import experiments
from vlmscope.llava_interp.tracing import pairs
from vlmscope.llava_interp.tracing.pairs_tables import PAIRS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(pairs.from_files, PAIRS, snakemake)
