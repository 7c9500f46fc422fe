"""Write the best neurons of every noun by every method, as a table and as a page."""

from vlmscope.mm_neurons.look import examples
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.session import logged, settings
from vlmscope.show import nouns
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = examples.from_files(
        captions=snakemake.input.captions,
        tokens=snakemake.input.tokens,
        neurons=snakemake.input.neurons,
        **settings(snakemake.params.settings),
    )
    tables.write(found, snakemake.output.table, examples.EXAMPLES)
    tokens = tables.read(snakemake.input.tokens, NEURON_TOKENS)
    shown = examples.page(found, tokens, **settings(snakemake.params.images))
    nouns.examples(shown, target=snakemake.output.page, **settings(snakemake.params.look))
