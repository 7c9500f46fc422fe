"""Write vectors that repeat the paper's, over all models."""

from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.steer import tables as steer_tables
from vlmscope.xl_vlms.steer.schemas import STEER

with logged(snakemake.log[0]):
    vectors = settings(snakemake.params.settings)["vectors"]
    tables.write(steer_tables.over_models(snakemake.input.tables, vectors), snakemake.output.table, STEER)
