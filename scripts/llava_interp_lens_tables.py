"""Write the tables of what the vocabulary says of visual tokens."""

from vlmscope import meta
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = lens_tables.from_files(
        hits=snakemake.input.hits,
        maps=snakemake.input.maps,
        told=settings(snakemake.params.settings),
    )
    tables.write_all(found, snakemake.output)
    meta.write(snakemake.output.meta, snakemake.output.rate, snakemake.params, snakemake.input, notes=notes.LENS)
