"""Take official files that are already on disk."""

from vlmscope.raw import find_benchmark
from vlmscope.session import logged, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    write_json(find_benchmark(**settings(snakemake.params.settings)), snakemake.output[0])
