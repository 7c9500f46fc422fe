"""Name latents by the pictures that excite them most."""

from vlmscope.fetch import chat
from vlmscope.multimodal_sae.explain import naming, talkers
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read = settings(snakemake.params.settings), snakemake.input
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    labels, kept = naming.from_files(
        {"trained": read.trained, "untrained": read.untrained},
        raws=read.raws,
        tables=read.samples,
        settings=told,
        talkers=talkers.of(told, read.explainer, chat.Server, where),
        state=snakemake.params.state,
        code=snakemake.params.code,
    )
    tables.write(labels, snakemake.output.labels, naming.LABELS)
    kept.clear()
