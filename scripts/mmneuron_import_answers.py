"""Read a domain's answers from answer files of the released code."""

from vlmscope.mmneuron.exchange import answers
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.samples import read
from vlmscope.session import logged
from vlmscope.store import tables

with logged(snakemake.log[0]):
    found = answers.from_files(snakemake.input.answers, snakemake.params.conditions, read(snakemake.input.samples))
    tables.write(found, snakemake.output.answers, ANSWERS)
