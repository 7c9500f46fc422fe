"""Write in which layers the neurons of nouns are, and draw it."""

from vlmscope.mm_neurons.measures import layers
from vlmscope.session import logged, settings
from vlmscope.show import measures
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told, out = settings(snakemake.params.title), snakemake.output
    found, profile = layers.from_files(
        snakemake.input.lists, snakemake.input.tokens, **settings(snakemake.params.settings)
    )
    tables.write(found, out.table, layers.LAYERS)
    tables.write(profile, out.profile, layers.PROFILE)
    title = f"{told['label']} ({told['scale']} scale): layers of nouns' neurons"
    measures.layers(found, title, out.figure, out.picture)
