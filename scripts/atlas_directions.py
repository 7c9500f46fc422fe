"""Write which latents match words and concepts, beside random directions."""

from vlmscope import meta
from vlmscope.atlas import directions, schemas
from vlmscope.session import logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    read, out = snakemake.input, snakemake.output
    found = directions.from_files(
        weights=read.weights,
        train=read.train,
        test=read.test,
        dictionaries=dict(zip(snakemake.params.sets, read.dictionaries, strict=True)),
        words=settings(snakemake.params.words),
        settings=settings(snakemake.params.settings),
    )
    tables.write(found, out.table, schemas.DIRECTIONS)
    meta.write(out.meta, out.table, snakemake.params, read, notes=directions.NOTES)
