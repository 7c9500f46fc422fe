"""Draw what answers lose without chosen tokens or states of a layer, and how twins are led back."""

from vlmscope.llava_interp.ablation import choices_tables, layers_tables
from vlmscope.llava_interp.tracing import pairs_tables
from vlmscope.session import logged, settings
from vlmscope.show import without
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.title)
    without.draw(
        tables.read(snakemake.input.choices, choices_tables.TABLE),
        tables.read(snakemake.input.layers, layers_tables.TABLE),
        tables.read(snakemake.input.pairs, pairs_tables.TABLE),
        f"{told['label']} ({told['scale']} scale)",
        *snakemake.output,
    )
