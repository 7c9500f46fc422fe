"""Draw the lens of the shown samples of one domain, one page each."""

from vlmscope.session import logged, settings
from vlmscope.show import pages
from vlmscope.store import files

with logged(snakemake.log[0]):
    pages.lens_of_domain(
        snakemake.input.cells,
        files.read_json(snakemake.input.about),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        domain=snakemake.wildcards.domain,
        targets=snakemake.output.pages,
        **settings(snakemake.params.settings),
    )
