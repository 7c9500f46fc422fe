"""Read a benchmark's official files in the official order into one sample table."""

from pathlib import Path

from vlmscope import samples
from vlmscope.datasets import base
from vlmscope.raw import read_manifest
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    root = Path(read_manifest(snakemake.input.raw)["root"])
    benchmark = base.load(chosen["kind"])
    name, options = snakemake.wildcards.dataset, chosen["options"]
    rows = benchmark.read(root, chosen["split"], name=name, limit=chosen["limit"], **options)
    tables.write(samples.table(rows), snakemake.output.samples, samples.SCHEMA)
