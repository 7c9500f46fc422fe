"""Write the nouns of captions, and where their tokens were written."""

from vlmscope.fetch import corenlp
from vlmscope.mm_neurons.schemas import NOUN_COUNTS, NOUNS
from vlmscope.mm_neurons.text import nouns
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found, counts = nouns.from_files(
        model=snakemake.input.model,
        captions=snakemake.input.captions,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings)["nouns"],
        remote=corenlp.tagged,
    )
    tables.write(found, snakemake.output.nouns, NOUNS)
    tables.write(counts, snakemake.output.counts, NOUN_COUNTS)
