"""Write the page that puts the lenses of all configured models side by side."""

from vlmscope.llava_interp.look import pages
from vlmscope.session import logged, settings
from vlmscope.show import patch_pages

with logged(snakemake.log[0]):
    found = pages.compared(
        shown=snakemake.input.shown,
        models=snakemake.params.models,
        labels=settings(snakemake.params.labels),
        **settings(snakemake.params.settings),
    )
    patch_pages.compare(found, target=snakemake.output.page, **settings(snakemake.params.look))
