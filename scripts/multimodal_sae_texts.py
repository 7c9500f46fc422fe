"""Write the active latents of texts, and their tokens."""

from vlmscope.models.load import load
from vlmscope.multimodal_sae.schemas import TOKENS
from vlmscope.multimodal_sae.text import cache
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    tokens = cache.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=snakemake.input.weights,
        table=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        code=snakemake.params.code,
        target=snakemake.output.cache,
    )
    tables.write(tokens, snakemake.output.tokens, TOKENS)
