"""Write answers whose states at one layer are partly taken away."""

from vlmscope.llava_interp.ablation import layers
from vlmscope.llava_interp.ablation.layers_tables import LAYERS
from vlmscope.llava_interp.asking import experiments
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(layers.from_files, LAYERS, snakemake)
