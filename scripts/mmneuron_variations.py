"""Write the effect over the number of neurons, and of other edits than zero."""

from vlmscope.mmneuron import variations
from vlmscope.session import logged, settings
from vlmscope.show import effects
from vlmscope.store import tables

with logged(snakemake.log[0]):
    chosen, out = settings(snakemake.params.settings), snakemake.output
    found = variations.from_files(
        chosen["evaluate"],
        settings(snakemake.params.data),
        snakemake.input.rows,
        snakemake.input.samples,
        snakemake.input.judge,
    )
    tables.write_all(found, dict(out.items()))
    title = f"{chosen['label']} ({chosen['scale']} scale), zeroed:"
    effects.dose(found["dose"][0], title, out.dose_figure, out.dose_picture)
