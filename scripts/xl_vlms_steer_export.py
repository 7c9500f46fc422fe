"""Write a model's steering vectors as files of the released code."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.exchange import steering

with logged(snakemake.log[0]):
    steering.write_all(
        snakemake.input.vectors,
        snakemake.output.folder,
        vectors=settings(snakemake.params.settings)["vectors"],
    )
