"""Write the domain-specific neurons of all modules."""

from vlmscope.mmneuron import identify, schemas
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    neurons, summary = identify.from_captures(snakemake.input.counts, **chosen)
    tables.write(neurons, snakemake.output.neurons, schemas.neurons(chosen["domains"]))
    files.write_json(summary, snakemake.output.summary)
