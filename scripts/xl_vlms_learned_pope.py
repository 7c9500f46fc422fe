"""Write accuracy and F1 on POPE under every way to steer, by subset."""

from vlmscope import meta
from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.learned import pope

with logged(snakemake.log[0]):
    table = pope.from_files(
        answers=snakemake.input.answers, samples=snakemake.input.samples, about=settings(snakemake.params.settings)
    )
    tables.write(table, snakemake.output.table, pope.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input)
