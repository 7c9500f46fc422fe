"""Write all steering vectors of a model."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms import steering_files

with logged(snakemake.log[0]):
    made = steering_files.from_files(
        sets=snakemake.input.sets, tables=snakemake.input.tables, settings=settings(snakemake.params.settings)
    )
    steering_files.write_all(made, snakemake.output.vectors)
