"""Write states under forced answers as feature files of the learn-to-steer code."""

from vlmscope.session import logged, settings
from vlmscope.xl_vlms.exchange import forced

with logged(snakemake.log[0]):
    forced.write_all(
        snakemake.output.files,
        states_file=snakemake.input.states,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
    )
