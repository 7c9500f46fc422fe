"""Gather the tables of concept shift, and draw them."""

from vlmscope import meta
from vlmscope.session import logged
from vlmscope.show import shifts
from vlmscope.store import tables
from vlmscope.xl_vlms.shift import tables as shift_tables

with logged(snakemake.log[0]):
    found, out = shift_tables.from_files(snakemake.input.compared), snakemake.output
    tables.write_all(found, dict(out.items()))
    shifts.draw(found, out.figures)
    meta.write(out.meta, out.shift, snakemake.params, snakemake.input, notes=shift_tables.NOTES)
