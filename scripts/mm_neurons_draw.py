"""Draw the maps of the first pictures."""

from vlmscope.mm_neurons.image import draw
from vlmscope.mm_neurons.schemas import MAPS
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    drawn = draw.from_files(
        maps_file=snakemake.input.maps,
        neurons=snakemake.input.neurons,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        folder=snakemake.output.folder,
    )
    tables.write(drawn, snakemake.output.table, MAPS)
