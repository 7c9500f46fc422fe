"""Read records of ablation from a result file of the released code."""

from vlmscope.llava_interp.exchange import imported
from vlmscope.llava_interp.schemas import RECORDS
from vlmscope.session import logged

with logged(snakemake.log[0]):
    imported.write(imported.ablation, RECORDS, snakemake)
