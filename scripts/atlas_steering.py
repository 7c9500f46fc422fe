"""Write and draw ways to steer beside each other."""

from vlmscope import meta
from vlmscope.atlas import compared
from vlmscope.session import logged, settings
from vlmscope.show import joint
from vlmscope.store import tables

with logged(snakemake.log[0]):
    out = snakemake.output
    found = compared.from_files(snakemake.input.steered, settings(snakemake.params.settings))
    tables.write_all(found, out)
    title = joint.title("ways to steer", **settings(snakemake.params.about))
    joint.steering(found["table"][0], found["dose"][0], title, out.figure, out.picture)
    meta.write(out.meta, out.table, snakemake.params, snakemake.input, notes=compared.NOTES)
