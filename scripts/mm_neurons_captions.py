"""Write the captions that a capture recorded."""

from vlmscope.mm_neurons.schemas import CAPTIONS
from vlmscope.mm_neurons.text import captions
from vlmscope.session import logged
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = captions.from_files(
        model=snakemake.input.model, index=snakemake.input.index, samples=snakemake.input.samples
    )
    tables.write(found, snakemake.output.captions, CAPTIONS)
