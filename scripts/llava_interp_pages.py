"""Write the pages of the lens: one per picture, and an overview."""

from vlmscope.llava_interp.look import pages
from vlmscope.session import logged, settings
from vlmscope.show import patch_pages

with logged(snakemake.log[0]):
    found = pages.from_files(
        shown=snakemake.input.shown,
        views=snakemake.input.views,
        hits=snakemake.input.hits,
        maps=snakemake.input.maps,
        ablation=snakemake.input.ablation,
        vqa=snakemake.input.vqa,
        knockout=snakemake.input.knockout,
        told=settings(snakemake.params.settings),
    )
    patch_pages.write(
        found,
        model=snakemake.wildcards.model,
        target=snakemake.output.folder,
        **settings(snakemake.params.look),
    )
