"""Find a checkpoint's folder and take its fingerprint."""

from vlmscope.models.load import checkpoint_folder, describe
from vlmscope.session import logged, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    write_json(describe(checkpoint_folder(snakemake.params.folder), chosen), snakemake.output[0])
