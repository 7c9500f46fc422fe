"""Read states under forced answers from feature files of the learn-to-steer code."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.exchange import forced

with logged(snakemake.log[0]):
    forced.read_all(
        snakemake.output.states,
        wanted=snakemake.input.wanted,
        opposite=snakemake.input.opposite,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
    )
