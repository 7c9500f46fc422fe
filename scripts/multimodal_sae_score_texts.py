"""Rate names of latents by texts that they were not made from."""

from vlmscope import meta
from vlmscope.fetch import chat
from vlmscope.multimodal_sae.explain import talkers as explain_talkers
from vlmscope.multimodal_sae.text import scores
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    talkers = explain_talkers.of(told, read.explainer, chat.Server, where)
    caches = {"trained": read.trained, "untrained": read.untrained}
    scored, rubric = scores.from_files(caches, read.labels, told, talkers)
    tables.write(scored, out.explanations, scores.SCORED)
    tables.write(rubric, out.rubric, scores.RUBRIC)
    meta.write(out.meta, out.rubric, snakemake.params, read, notes=scores.NOTES)
