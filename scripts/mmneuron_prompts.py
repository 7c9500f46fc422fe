"""Write the prompt of every domain as the model gets it."""

from vlmscope.mmneuron import prompts
from vlmscope.session import logged, settings
from vlmscope.store import files

with logged(snakemake.log[0]):
    found = prompts.from_files(
        snakemake.input.samples,
        model=snakemake.wildcards.model,
        kinds=settings(snakemake.params.kinds),
        **settings(snakemake.params.settings),
    )
    files.write_json(found, snakemake.output[0])
