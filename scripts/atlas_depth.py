"""Write in which depth each system finds what it looks for, and draw it."""

from vlmscope import meta
from vlmscope.atlas import depth
from vlmscope.session import logged, settings
from vlmscope.show import joint
from vlmscope.store import tables

with logged(snakemake.log[0]):
    read, out = snakemake.input, snakemake.output
    found = depth.from_files(
        lens=read.lens,
        sweep=read.sweep,
        train=read.train,
        test=read.test,
        domain_neurons=read.domain_neurons,
        shapes=read.shapes,
        word_neurons=read.word_neurons,
        words=settings(snakemake.params.words),
        settings=settings(snakemake.params.settings),
    )
    tables.write(found, out.table, depth.DEPTH)
    joint.depth(found, joint.title("depth", **settings(snakemake.params.about)), out.figure, out.picture)
    meta.write(out.meta, out.table, snakemake.params, read, notes=depth.NOTES)
