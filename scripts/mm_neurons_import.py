"""Read captions, nouns and neurons from a tree of the released code."""

from vlmscope.mm_neurons.exchange import imported
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUN_COUNTS, NOUNS
from vlmscope.mm_neurons.text import nouns
from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    captions, found = imported.read(
        snakemake.output.neurons,
        model=snakemake.input.model,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
    )
    tables.write(captions, snakemake.output.captions, CAPTIONS)
    tables.write(found, snakemake.output.nouns, NOUNS)
    tables.write(nouns.counts(found), snakemake.output.counts, NOUN_COUNTS)
