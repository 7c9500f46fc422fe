"""Write one vector per picture from the model's own vision tower."""

from vlmscope.mmneuron import embed
from vlmscope.mmneuron.schemas import EMBEDDINGS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    vectors, about = embed.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raws=snakemake.input.raws,
        samples=snakemake.input.samples,
        kinds=settings(snakemake.params.kinds),
        **settings(snakemake.params.settings),
    )
    tables.write(vectors, snakemake.output.embeddings, EMBEDDINGS)
    files.write_json(about, snakemake.output.about)
