"""Write a comparison of two models as the released code does."""

from vlmscope.session import logged
from vlmscope.xl_vlms.exchange import shifts

with logged(snakemake.log[0]):
    shifts.write(snakemake.input.shift, snakemake.input.vectors, snakemake.output.released)
