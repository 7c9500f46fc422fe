"""Write answers without tokens that attention, length or lens chose."""

from vlmscope.llava_interp import choices, experiments
from vlmscope.llava_interp.choices_tables import CHOICES
from vlmscope.session import logged

with logged(snakemake.log[0]):
    experiments.write(choices.from_files, CHOICES, snakemake)
