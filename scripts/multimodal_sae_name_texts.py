"""Name latents by the texts that excite them most."""

from vlmscope.fetch import chat
from vlmscope.multimodal_sae.explain import talkers as explain_talkers
from vlmscope.multimodal_sae.text import naming
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read = settings(snakemake.params.settings), snakemake.input
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    talkers = explain_talkers.of(told, read.explainer, chat.Server, where)
    caches = {"trained": read.trained, "untrained": read.untrained}
    labels, kept = naming.from_files(caches, told, talkers, snakemake.params.state, snakemake.params.code)
    tables.write(labels, snakemake.output.labels, naming.LABELS)
    kept.clear()
