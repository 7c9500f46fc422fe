"""Write the number of domain-specific neurons per module and domain."""

from vlmscope.mmneuron import table1
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    table = table1.table(files.read_json(snakemake.input.summary), **chosen)
    tables.write(table, snakemake.output.table, table1.schema(chosen["domains"]))
