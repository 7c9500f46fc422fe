"""Write every score twice: as the released code takes it and as its benchmark means it."""

from vlmscope.mmneuron import versions
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = versions.from_files(
        model=snakemake.wildcards.model,
        samples=snakemake.input.samples,
        untouched=snakemake.input.untouched,
        masked=snakemake.input.masked,
        judge=snakemake.input.judge,
        conditions=settings(snakemake.params.conditions),
        data=settings(snakemake.params.data),
        evaluate=settings(snakemake.params.settings),
    )
    tables.write(found, snakemake.output.table, versions.SCHEMA)
