"""Draw the latents that answers rest on over their pictures and questions."""

from vlmscope.multimodal_sae.figures import cases
from vlmscope.session import logged, settings
from vlmscope.show import attribution_cases as show
from vlmscope.show import concept_figures

with logged(snakemake.log[0]):
    read, told = snakemake.input, settings(snakemake.params.settings)
    show.write(
        cases.from_files(read.rows, read.prompts, read.raw, read.samples, read.names, told["most"]),
        snakemake.output.folder,
        schema=cases.CASE,
        note=cases.NOTE,
        title=concept_figures.title(settings(snakemake.params.look)),
    )
