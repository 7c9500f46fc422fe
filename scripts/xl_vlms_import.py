"""Read the vectors of a set from a feature file of the released code."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.exchange import sets

with logged(snakemake.log[0]):
    sets.read(
        snakemake.output.vectors,
        file=snakemake.input.file,
        name=snakemake.wildcards.set,
        **settings(snakemake.params.settings),
    )
