"""Name latents by the texts that excite them most."""

from vlmscope.fetch import chat
from vlmscope.multimodal_sae import explain_talkers, text_names
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read = settings(snakemake.params.settings), snakemake.input
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    talkers = explain_talkers.of(told, read.explainer, chat.Server, where)
    caches = {"trained": read.trained, "untrained": read.untrained}
    labels, kept = text_names.from_files(caches, told, talkers, snakemake.params.state, snakemake.params.code)
    tables.write(labels, snakemake.output.labels, text_names.LABELS)
    kept.clear()
