"""Read the neurons of all modules from mask files of the released code."""

from vlmscope.mmneuron import schemas
from vlmscope.mmneuron.exchange import masks
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    neurons, summary = masks.neurons_from_files(snakemake.input.masks, snakemake.input.counts, **chosen)
    tables.write(neurons, snakemake.output.neurons, schemas.neurons(chosen["domains"]))
    files.write_json(summary, snakemake.output.summary)
