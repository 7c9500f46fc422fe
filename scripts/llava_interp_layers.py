"""Write answers whose states at one layer are partly taken away."""

from vlmscope.llava_interp import experiments, layers
from vlmscope.llava_interp.layers_tables import LAYERS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(layers.from_files, LAYERS, snakemake)
