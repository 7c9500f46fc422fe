"""Write the page of answers and captions under steering."""

from vlmscope.session import logged, settings
from vlmscope.show import xl_pages
from vlmscope.xl_vlms.pages import steering

with logged(snakemake.log[0]):
    found = steering.from_files(
        answered=snakemake.input.answered,
        described=snakemake.input.described,
        model=snakemake.wildcards.model,
        **settings(snakemake.params.settings),
    )
    xl_pages.steering(found.data, found.pictures, target=snakemake.output.page, **settings(snakemake.params.look))
