"""Find the pictures that the page's neurons fire at most strongly, and zero each neuron by itself."""

from vlmscope.mmneuron import examples
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = examples.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raws=snakemake.input.raws,
        samples=snakemake.input.samples,
        neurons=snakemake.input.neurons,
        portion=settings(snakemake.params.portion),
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    examples.write(found, snakemake.output)
