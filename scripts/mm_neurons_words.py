"""Write the tokens that every neuron raises and lowers most."""

from vlmscope.mm_neurons.rank import words
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = words.from_files(snakemake.input.model, **settings(snakemake.params.settings))
    tables.write(found, snakemake.output.tokens, NEURON_TOKENS)
