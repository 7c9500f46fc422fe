"""Draw what every patch of some pictures gives back."""

from vlmscope.llava_interp.tracing import pictures as tracing_pictures
from vlmscope.llava_interp.tracing import tables as tracing_tables
from vlmscope.session import logged, settings
from vlmscope.show import traces
from vlmscope.store import tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.title)
    title = f"{told['label']} ({told['scale']} scale): probability given back by a patch"
    gains = tracing_tables.gains(tables.read(snakemake.input.records, tracing_tables.TRACES)).drop_nulls("patch")
    pictures = tracing_pictures.shown(gains, snakemake.input.raw, snakemake.input.samples, told["shown"])
    traces.maps(gains, pictures, title, *snakemake.output)
