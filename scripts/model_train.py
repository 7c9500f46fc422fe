"""Train the embedded model from nothing."""

from pathlib import Path

from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.train import train
from vlmscope.session import log, logged

with logged(snakemake.log[0]):
    train(Recipe(), Path(snakemake.output[0]).parent, log.info)
