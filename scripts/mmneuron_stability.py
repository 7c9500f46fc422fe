"""Write how neuron sets agree over shards, budgets and kinds of positions."""

from vlmscope.mmneuron import stability
from vlmscope.session import logged, settings
from vlmscope.show import effects
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told, out = settings(snakemake.params.title), snakemake.output
    found = stability.from_captures(snakemake.input.counts, **settings(snakemake.params.settings))
    tables.write_all(found, dict(out.items()))
    title = f"{told['label']} ({told['scale']} scale)"
    effects.stability(found["stability"][0], title, out.stability_figure, out.stability_picture)
