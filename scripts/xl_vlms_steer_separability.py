"""Write and draw how far states of different answers lie apart."""

from vlmscope.session import logged, settings
from vlmscope.show import steering
from vlmscope.store import tables
from vlmscope.xl_vlms.steer import separability
from vlmscope.xl_vlms.steer.schemas import SEPARABILITY

with logged(snakemake.log[0]):
    asked, about = settings(snakemake.params.settings), settings(snakemake.params.about)
    every = separability.from_files(snakemake.input.sets, snakemake.input.tables, asked["separability"])
    found = separability.table(every, snakemake.wildcards.model, asked)
    tables.write(found, snakemake.output.table, SEPARABILITY)
    title = f"{about['label']} ({about['scale']} scale): states before the first token"
    steering.planes(separability.planes(every), found, title, snakemake.output.figure)
