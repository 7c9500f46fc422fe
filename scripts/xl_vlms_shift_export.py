"""Write a comparison of two models as the released code does."""

from vlmscope.session import logged
from vlmscope.xl_vlms import shift_released

with logged(snakemake.log[0]):
    shift_released.write(snakemake.input.shift, snakemake.input.vectors, snakemake.output.released)
