"""Write the neurons behind every noun, by every method that needs no model."""

from vlmscope.mm_neurons.rank import ranking
from vlmscope.session import logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    ranking.from_files(
        snakemake.output.neurons,
        model=snakemake.input.model,
        index=snakemake.input.index,
        captions=snakemake.input.captions,
        nouns=snakemake.input.nouns,
        settings=settings(snakemake.params.settings),
    )
