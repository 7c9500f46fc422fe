"""Write the panels of concepts before and after fine-tuning."""

from vlmscope.session import logged, settings
from vlmscope.show import xl_pages
from vlmscope.xl_vlms.pages import panels

with logged(snakemake.log[0]):
    found = panels.from_files(
        snakemake.input.shift,
        written=snakemake.input.written,
        raw=snakemake.input.raw,
        **settings(snakemake.params.settings),
    )
    xl_pages.panels(found.data, found.pictures, target=snakemake.output.page, **settings(snakemake.params.look))
