"""Write what responses to requests of MM-SafetyBench are worth under every way to steer."""

from vlmscope import meta
from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.learned import safety_table

with logged(snakemake.log[0]):
    table = safety_table.from_files(
        answers=snakemake.input.answers, samples=snakemake.input.samples, settings=settings(snakemake.params.settings)
    )
    tables.write(table, snakemake.output.table, safety_table.TABLE)
    meta.write(snakemake.output.meta, snakemake.output.table, snakemake.params, snakemake.input)
