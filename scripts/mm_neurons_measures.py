"""Draw what nouns' neurons write, how many stay, and how many are a noun's alone."""

from vlmscope.mm_neurons.measures import curves
from vlmscope.session import logged, settings
from vlmscope.show import measures

with logged(snakemake.log[0]):
    told = settings(snakemake.params.title)
    title = f"{told['label']} ({told['scale']} scale): neurons of nouns"
    found = curves.from_files(**dict(snakemake.input.items()))
    measures.measures(found, title, snakemake.output.figure, snakemake.output.picture)
