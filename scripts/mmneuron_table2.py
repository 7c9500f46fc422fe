"""Write table 2: wide as published, long with intervals, and what made it."""

from vlmscope.mmneuron import table2
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    setup, scores, meta = table2.from_files(
        model=snakemake.wildcards.model,
        settings=settings(snakemake.params.settings),
        conditions=settings(snakemake.params.conditions),
        data=settings(snakemake.params.data),
        scores=snakemake.input.scores,
        summary=snakemake.input.summary,
        manifest=snakemake.input.model,
        raws=snakemake.input.raws,
    )
    long = table2.long_table(scores, setup)
    tables.write(long, snakemake.output.long, table2.LONG)
    tables.write(table2.wide_table(long, setup), snakemake.output.table, table2.wide_schema(setup))
    files.write_json(meta, snakemake.output.meta)
