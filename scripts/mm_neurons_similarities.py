"""Write how like the decoded words of neurons are to nouns and captions."""

from vlmscope.mm_neurons.measures import similarities
from vlmscope.mm_neurons.schemas import SIMILARITIES
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = similarities.from_files(
        snakemake.input.lists,
        model=snakemake.input.model,
        tokens=snakemake.input.tokens,
        captions=snakemake.input.captions,
        settings=settings(snakemake.params.settings),
        device=device(snakemake.resources.gpu, snakemake.resources.device),
    )
    tables.write(found, snakemake.output.similarities, SIMILARITIES)
