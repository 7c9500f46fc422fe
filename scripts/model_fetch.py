"""Download a checkpoint at its revision."""

from vlmscope.fetch.hub import fetch_model
from vlmscope.session import logged, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    write_json(fetch_model(snakemake.params.folder, **settings(snakemake.params.settings)), snakemake.output[0])
