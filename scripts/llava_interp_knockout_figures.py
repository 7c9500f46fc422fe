"""Draw what blocked attention costs, by window and by layer."""

from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.session import logged, settings
from vlmscope.show import visual_tokens
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.title)
    title = f"{told['label']} ({told['scale']} scale): attention blocked"
    table = tables.read(snakemake.input.table, knockout_tables.TABLE)
    sweep = tables.read(snakemake.input.sweep, knockout_tables.SWEEP)
    visual_tokens.knockout(table, title, snakemake.output.figure, snakemake.output.picture)
    visual_tokens.sweep(sweep, title, snakemake.output.sweep, snakemake.output.sweep_picture)
