"""Draw in which layers objects are named, and where."""

from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.session import logged, settings
from vlmscope.show import lenses
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.title)
    title = f"{told['label']} ({told['scale']} scale): visual tokens as words"
    rate = tables.read(snakemake.input.rate, lens_tables.RATE)
    means = tables.read(snakemake.input.means, lens_tables.MEANS)
    lenses.rates(rate, means, title, snakemake.output.figure, snakemake.output.picture)
    with lens_file.opened(snakemake.input.shown) as file:
        lenses.maps(file, title, snakemake.output.maps, snakemake.output.maps_picture)
