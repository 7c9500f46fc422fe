"""Write the page of held-out samples with their most active concepts."""

from vlmscope.session import logged, settings
from vlmscope.show import xl_pages
from vlmscope.xl_vlms.pages import local

with logged(snakemake.log[0]):
    found = local.from_files(
        snakemake.input.dictionaries,
        scored=snakemake.input.scored,
        samples=snakemake.input.samples,
        raw=snakemake.input.raw,
        settings=settings(snakemake.params.settings),
    )
    xl_pages.local(found.data, found.pictures, target=snakemake.output.page, **settings(snakemake.params.look))
