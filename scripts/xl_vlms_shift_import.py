"""Read a comparison of two models from a file of the released code."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.exchange import shifts

with logged(snakemake.log[0]):
    shifts.import_file(
        snakemake.input[0],
        settings(snakemake.params.settings),
        settings(snakemake.params.about),
        snakemake.output[0],
    )
