"""Write how alike the concepts of different models are."""

from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.cox import compare
from vlmscope.xl_vlms.dictionaries import schemas

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    found = compare.from_files(snakemake.input.dictionaries, snakemake.input.vectors, chosen)
    tables.write(found, snakemake.output.table, schemas.ACROSS)
