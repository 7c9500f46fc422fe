"""Write projections, output vectors and words of all neurons as the released code prepares them."""

from pathlib import Path

from vlmscope.mm_neurons.exchange import preparation
from vlmscope.session import logged, prepare_torch
from vlmscope.store import files

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    made = preparation.write(
        Path(snakemake.output.files).parent, model=snakemake.input.model, tokens=snakemake.input.tokens
    )
    files.write_json(made, snakemake.output.files)
