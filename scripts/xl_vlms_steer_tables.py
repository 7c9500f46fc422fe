"""Write what steering does to answers, and draw it over the strength."""

from vlmscope import meta
from vlmscope.session import logged, settings
from vlmscope.show import steering
from vlmscope.xl_vlms.steer import tables

with logged(snakemake.log[0]):
    asked, about, out = settings(snakemake.params.settings), settings(snakemake.params.about), snakemake.output
    effects = tables.from_files(
        steered=snakemake.input.rows,
        samples=snakemake.input.samples,
        model=snakemake.wildcards.model,
        settings=asked,
    )
    shown = tables.by_task(effects, asked["vectors"], snakemake.input.numbered[0])
    tables.write_all(effects, shown, out)
    steering.strengths(shown, f"{about['label']} ({about['scale']} scale): steering", *out.figures)
    meta.write(out.meta, out.targeted, snakemake.params, snakemake.input)
