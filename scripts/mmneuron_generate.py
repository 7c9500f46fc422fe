"""Write the answers of the untouched model."""

from vlmscope.mmneuron import generate
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    answers = generate.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        conditions={"none": {}},
        batch=snakemake.resources.batch,
    )
    tables.write(answers, snakemake.output.answers, ANSWERS)
