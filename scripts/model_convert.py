"""Turn the weights of an official release into safetensors."""

from vlmscope.models.convert.folder import convert
from vlmscope.session import logged, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    made = convert(snakemake.input[0], snakemake.params.folder, **settings(snakemake.params.settings))
    write_json(made, snakemake.output[0])
