"""Write all dictionaries of a model, and tables of what they are worth."""

from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.dictionaries import make

with logged(snakemake.log[0]):
    found = make.from_files(
        snakemake.output.dictionaries,
        train=snakemake.input.train,
        test=snakemake.input.test,
        words=snakemake.input.vocabulary,
        model=snakemake.wildcards.model,
        settings=settings(snakemake.params.settings),
    )
    tables.write_all(found, snakemake.output)
