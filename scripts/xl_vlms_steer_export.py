"""Write a model's steering vectors as files of the released code."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms import steering_released

with logged(snakemake.log[0]):
    steering_released.write_all(
        snakemake.input.vectors,
        snakemake.output.folder,
        vectors=settings(snakemake.params.settings)["vectors"],
    )
