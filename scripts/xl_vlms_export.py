"""Write the vectors of a set as a feature file of the released code."""

from vlmscope.session import logged
from vlmscope.xl_vlms.exchange import sets

with logged(snakemake.log[0]):
    sets.write(snakemake.output.file, vectors_file=snakemake.input.vectors, family=snakemake.params.family)
