"""Score answers by each domain's own metrics."""

from vlmscope.mmneuron import evaluate
from vlmscope.mmneuron.schemas import DOMAIN_SCORES
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    scores = evaluate.from_files(
        snakemake.input.samples,
        snakemake.input.answers,
        settings(snakemake.params.kinds),
        snakemake.input.judge,
        **settings(snakemake.params.settings),
    )
    tables.write(scores, snakemake.output.scores, DOMAIN_SCORES)
