"""Write captions, nouns and neurons of pictures whose image tokens changed places."""

from vlmscope.fetch import corenlp
from vlmscope.mm_neurons.image import shuffle_files
from vlmscope.mm_neurons.schemas import SHUFFLED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = shuffle_files.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        model=snakemake.input.model,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        captions=snakemake.input.captions,
        nouns_table=snakemake.input.nouns,
        remote=corenlp.tagged,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        neurons=snakemake.output.neurons,
        maps=snakemake.output.maps,
    )
    tables.write(found, snakemake.output.nouns, SHUFFLED)
