"""Write and draw what matters for steering, and which concepts lead to one answer."""

from vlmscope.session import logged, settings
from vlmscope.show import steering
from vlmscope.store import tables
from vlmscope.xl_vlms.steer import directions
from vlmscope.xl_vlms.steer import tables as steer_tables
from vlmscope.xl_vlms.steer.schemas import DIRECTIONS, STEERED

with logged(snakemake.log[0]):
    steer, about = settings(snakemake.params.settings), settings(snakemake.params.about)
    model, out = snakemake.wildcards.model, snakemake.output
    title = f"{about['label']} ({about['scale']} scale)"
    varied = steer_tables.ablations(snakemake.input.effects, model)
    steer_tables.write_ablations(varied, out.tables)
    steering.ablations(varied, title, out.figures)
    found = directions.table(tables.read(snakemake.input.rows, STEERED), model, steer)
    tables.write(found, out.directions, DIRECTIONS)
    steering.directions(found, f"{title}: from concept to concept", out.bars)
