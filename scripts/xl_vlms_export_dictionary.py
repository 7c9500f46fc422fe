"""Write a main dictionary as an analysis file of the released code."""

from vlmscope.session import logged
from vlmscope.xl_vlms.exchange import dictionaries

with logged(snakemake.log[0]):
    dictionaries.write(snakemake.input.dictionaries, snakemake.output.file, method=snakemake.wildcards.method)
