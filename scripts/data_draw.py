"""Draw the embedded world and write it in a benchmark's official format."""

from pathlib import Path

from vlmscope.raw import draw_benchmark
from vlmscope.session import logged, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    folder = Path(snakemake.params.folder)
    write_json(draw_benchmark(chosen["kind"], folder, chosen["splits"], chosen["scenes"]), snakemake.output[0])
