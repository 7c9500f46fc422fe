"""Write all steering vectors of a model."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.steer import files

with logged(snakemake.log[0]):
    made = files.from_files(
        sets=snakemake.input.sets, tables=snakemake.input.tables, settings=settings(snakemake.params.settings)
    )
    files.write_all(made, snakemake.output.vectors)
