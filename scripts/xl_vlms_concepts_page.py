"""Write the cards of the concepts of a dictionary."""

from vlmscope.session import logged, settings
from vlmscope.show import xl_pages
from vlmscope.xl_vlms.pages import gallery

with logged(snakemake.log[0]):
    found = gallery.from_files(
        snakemake.input.dictionaries,
        method=snakemake.wildcards.method,
        scored=snakemake.input.scored,
        quality=snakemake.input.quality,
        overlap=snakemake.input.overlap,
        classes=snakemake.input.classes,
        raw=snakemake.input.raw,
        **settings(snakemake.params.settings),
    )
    xl_pages.concepts(found.data, found.pictures, target=snakemake.output.page, **settings(snakemake.params.look))
