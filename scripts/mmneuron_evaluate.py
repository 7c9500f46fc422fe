"""Score answers by the domain's own metrics."""

from vlmscope.mmneuron import evaluate, inputs
from vlmscope.mmneuron.schemas import ANSWERS, SCORES
from vlmscope.session import logged, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    scores = evaluate.scores(
        chosen["kind"],
        inputs.read_samples(snakemake.input.samples),
        tables.read(snakemake.input.answers, ANSWERS),
        anls_threshold=chosen["anls_threshold"],
        lingo=inputs.judge(snakemake.input.judge),
    )
    tables.write(scores, snakemake.output.scores, SCORES)
