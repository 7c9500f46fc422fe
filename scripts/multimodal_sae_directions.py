"""Write tokens and neighbours of decoder rows."""

from vlmscope.multimodal_sae.coder import directions
from vlmscope.multimodal_sae.schemas import DIRECTIONS
from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = directions.from_files(
        snakemake.input.model, weights=snakemake.input.weights, **settings(snakemake.params.settings)
    )
    tables.write(found, snakemake.output.directions, DIRECTIONS)
