"""Write and draw what steering does to captions."""

from vlmscope import meta
from vlmscope.session import logged, settings
from vlmscope.show import steered_captions
from vlmscope.store import tables
from vlmscope.xl_vlms.captions import tables as caption_tables

with logged(snakemake.log[0]):
    asked, out = settings(snakemake.params.settings), snakemake.output
    found = caption_tables.from_files(
        rows=snakemake.input.rows,
        samples=snakemake.input.samples,
        settings=asked["captions"],
        model=snakemake.wildcards.model,
    )
    tables.write_all(found, {"table": out.table, "words": out.words, "examples": out.examples})
    steered_captions.dose(found["table"][0], f"{asked['title']}: captions under steering", *out.figures)
    meta.write(out.meta, out.table, snakemake.params, snakemake.input)
