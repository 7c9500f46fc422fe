"""Write the domain-specific neurons of one module."""

from vlmscope.mmneuron import identify, modules
from vlmscope.models.load import inert_layers
from vlmscope.session import logged, settings
from vlmscope.store import files, shards, tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    module, family = snakemake.wildcards.module, chosen["family"]
    indices = dict(zip(chosen["domains"], snakemake.input.counts, strict=True))
    counts = shards.read_counts(indices, modules.take_name(family, module))
    selection = identify.select(counts.fired, counts.seen, **chosen["identify"])
    inert = inert_layers(snakemake.input.model, modules.sites(family)[module])
    neurons = identify.neuron_table(counts, selection, module)
    tables.write(neurons, snakemake.output.neurons, identify.schema(counts.domains))
    files.write_json(identify.summary(counts, selection, module, inert), snakemake.output.summary)
