"""Train an embedded model from nothing."""

from pathlib import Path

from vlmscope.models.tiny.train import train
from vlmscope.session import log, logged

with logged(snakemake.log[0]):
    train(snakemake.wildcards.model, Path(snakemake.output[0]).parent, log.info, *map(Path, snakemake.input))
