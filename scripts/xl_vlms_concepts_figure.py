"""Draw the concepts of a dictionary."""

from vlmscope.session import logged, settings
from vlmscope.show import xl_cards
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
    xl_cards.cards(found.data, found.pictures, snakemake.output.figure, **settings(snakemake.params.about))
