"""Write the vectors of a set: the states of a capture that its rule picks."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.sets import select_files

with logged(snakemake.log[0]):
    select_files.make(
        snakemake.output.vectors,
        model=snakemake.input.model,
        index=snakemake.input.index,
        samples=snakemake.input.samples,
        name=snakemake.wildcards.set,
        settings=settings(snakemake.params.settings)["set"],
    )
