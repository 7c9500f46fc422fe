"""Compare the concepts of two models over one set of vectors."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.shift.files import from_files

with logged(snakemake.log[0]):
    from_files(
        snakemake.input.before,
        snakemake.input.after,
        snakemake.input.steps,
        words=snakemake.input.words,
        settings=settings(snakemake.params.settings),
        about=settings(snakemake.params.about),
        targets=dict(snakemake.output.items()),
    )
