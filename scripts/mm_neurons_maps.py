"""Write what the best neurons of every noun do at the image tokens."""

from vlmscope.mm_neurons.image import units as image_units
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    image_units.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        neurons=snakemake.input.neurons,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        target=snakemake.output.maps,
    )
