"""Find the pictures that the page's neurons fire at most strongly, and zero each neuron by itself."""

from vlmscope.mmneuron import examples
from vlmscope.mmneuron.schemas import EXAMPLES, ZEROED
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found, zeroed = examples.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        neurons=snakemake.input.neurons,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found, snakemake.output.examples, EXAMPLES)
    tables.write(zeroed, snakemake.output.zeroed, ZEROED)
