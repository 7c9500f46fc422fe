"""Join pictures of several datasets into the one that autoencoders are looked at with."""

from vlmscope.multimodal_sae.cache import joined
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    about, parts = joined.from_files(told["parts"], read.raws, read.samples, snakemake.params.folder)
    tables.write(parts, out.parts, joined.PARTS)
    files.write_json(about, out.raw)
