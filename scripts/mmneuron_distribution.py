"""Write the list of neurons and where they lie, as tables and figures."""

from vlmscope.mmneuron import distribution, schemas
from vlmscope.session import logged, settings
from vlmscope.show import domains
from vlmscope.store import tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    found = distribution.from_files(snakemake.input.neurons, snakemake.input.summary, chosen["domains"])
    tables.write(found.neurons, snakemake.output.neurons, schemas.neurons(chosen["domains"]))
    tables.write(found.layers, snakemake.output.tables[0], distribution.LAYERS)
    tables.write(found.sharing, snakemake.output.tables[1], distribution.SHARING)
    tables.write(found.overlap, snakemake.output.tables[2], distribution.OVERLAP)
    title = f"{chosen['label']} ({chosen['scale']} scale)"
    domains.layers(found.layers, title, *snakemake.output.layers)
    shared = "".join((title, distribution.note(chosen["assign"])))
    domains.sharing(found.sharing, shared, *snakemake.output.sharing)
    domains.overlap(found.overlap, shared, *snakemake.output.overlap)
