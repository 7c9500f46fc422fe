"""Write the report: what was run, what was found and how sure it is, where it comes from."""

from vlmscope.report import site
from vlmscope.session import logged, settings

with logged(snakemake.log[0]):
    site.write(
        snakemake.output.page,
        results=snakemake.input.results,
        made=settings(snakemake.params.made),
        tree=settings(snakemake.params.settings),
        engine=snakemake.params.engine,
    )
