"""Read pictures with and without their object, and steer to words that they do not show."""

from vlmscope.atlas import known, runs
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read = settings(snakemake.params.settings), snakemake.input
    followed = known.from_files(
        weights=read.weights,
        train=read.train,
        domain_neurons=read.domain_neurons,
        shapes=read.shapes,
        word_neurons=read.word_neurons,
        words=settings(snakemake.params.words),
        settings=told,
    )
    loaded = load(read.model, device(snakemake.resources.gpu, snakemake.resources.device))
    paths = {"raw": read.raw, "samples": read.samples, "vector": read.vector}
    found = runs.from_files(loaded, followed, **paths, settings=told, batch=snakemake.resources.batch)
    runs.write(found, snakemake.output)
