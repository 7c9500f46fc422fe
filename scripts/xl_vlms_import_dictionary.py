"""Write a dictionary of the released code as a file of dictionaries."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.exchange import dictionaries

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    dictionaries.read(
        snakemake.input.file,
        snakemake.output.dictionaries,
        train=snakemake.input.train,
        test=snakemake.input.test,
        about={"model": snakemake.wildcards.model, "set": snakemake.wildcards.set},
        module=chosen["module"],
        pictures=chosen["images"],
    )
