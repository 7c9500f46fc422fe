"""Write the neuron page."""

from vlmscope.mmneuron import page
from vlmscope.session import logged, settings
from vlmscope.show import neurons

with logged(snakemake.log[0]):
    found = page.from_files(
        neurons=snakemake.input.neurons,
        counts=snakemake.input.counts,
        examples=snakemake.input.examples,
        zeroed=snakemake.input.zeroed,
        raws=snakemake.input.raws,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        kinds=settings(snakemake.params.kinds),
    )
    look = settings(snakemake.params.look)
    neurons.write(found.data, found.pictures, target=snakemake.output.page, **look)
