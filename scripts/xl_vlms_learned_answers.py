"""Write answers while every prompt is steered by a vector of its own, and by others."""

from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.learned import answers as learned_answers
from vlmscope.xl_vlms.learned.vectors import ANSWERS

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    answers = learned_answers.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        net=snakemake.input.net,
        trained=snakemake.input.trained,
        tested=snakemake.input.tested,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(answers, snakemake.output.answers, ANSWERS)
