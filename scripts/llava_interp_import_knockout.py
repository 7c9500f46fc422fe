"""Read records of knockout from a result file of the released code."""

from vlmscope.llava_interp.exchange import imported
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    imported.write(imported.knockout, KNOCKOUTS, snakemake)
