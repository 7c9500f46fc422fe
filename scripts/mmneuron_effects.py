"""Write the effect table and figure: own domain beside other domains and random neurons."""

from vlmscope.mmneuron import effects
from vlmscope.session import logged, settings
from vlmscope.show import figures
from vlmscope.store import tables

with logged(snakemake.log[0]):
    chosen, data = settings(snakemake.params.settings), settings(snakemake.params.data)
    rows, scores = effects.from_files(
        chosen, data["kinds"], snakemake.input.rows, snakemake.input.samples, snakemake.input.judge
    )
    draws = chosen["evaluate"]["bootstrap"], chosen["evaluate"]["seed"]
    table = effects.effects(rows, scores, *draws)
    tables.write(table, snakemake.output.table, effects.SCHEMA)
    figures.effects(table, f"{chosen['label']} ({chosen['scale']} scale), zeroed:", snakemake.output.figure)
