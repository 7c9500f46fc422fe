"""Write answers without tokens that attention, length or lens chose."""

from vlmscope.llava_interp.ablation import choices
from vlmscope.llava_interp.ablation.choices_tables import CHOICES
from vlmscope.llava_interp.asking import experiments
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(choices.from_files, CHOICES, snakemake)
