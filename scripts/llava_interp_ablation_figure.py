"""Draw how many objects are lost over the number of replaced tokens."""

from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.session import logged, settings
from vlmscope.show import visual_tokens
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.title)
    table = tables.read(snakemake.input.table, ablation_tables.TABLE)
    visual_tokens.ablation(table, f"{told['label']} ({told['scale']} scale): tokens replaced", *snakemake.output)
