"""Download a benchmark, or say where its files belong."""

from vlmscope.fetch.benchmarks import fetch_dataset
from vlmscope.session import logged, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    write_json(fetch_dataset(chosen["kind"], snakemake.params.folder, chosen["splits"]), snakemake.output[0])
