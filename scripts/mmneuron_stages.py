"""Write entropy by layer, the change points of the three segments, and both figures."""

from vlmscope.mmneuron import curves, stages
from vlmscope.session import logged, settings
from vlmscope.show import domains
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    found, meta = stages.from_files(
        snakemake.input.curves, snakemake.input.neurons, snakemake.input.summary, chosen["domains"], chosen["stages"]
    )
    tables.write(found.entropy, snakemake.output.entropy, curves.ENTROPY)
    tables.write(found.curves, snakemake.output.curves, stages.CURVE)
    tables.write(found.stages, snakemake.output.stages, stages.STAGES)
    files.write_json(meta, snakemake.output.meta)
    title = f"{chosen['label']} ({chosen['scale']} scale)"
    domains.entropy(found.entropy, title, *snakemake.output.entropy_figures)
    domains.stages(found.curves, found.stages, meta["verdict"], title, *snakemake.output.stages_figures)
