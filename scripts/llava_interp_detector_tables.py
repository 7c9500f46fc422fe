"""Write the table of objects that are there told from others."""

from vlmscope import meta
from vlmscope.llava_interp.lens import detector_tables
from vlmscope.llava_interp.tables import notes
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = detector_tables.from_files(detector=snakemake.input.records, told=settings(snakemake.params.settings))
    tables.write(found, snakemake.output.table, detector_tables.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input, notes=notes.DETECTOR)
