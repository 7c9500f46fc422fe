"""Score names of latents: IoU, CLIP score, consistency."""

from vlmscope import meta
from vlmscope.fetch import chat
from vlmscope.multimodal_sae import explain_talkers, score_files
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    found = score_files.from_files(
        {"trained": read.trained, "untrained": read.untrained},
        labels=read.labels,
        raws=read.raws,
        tables=read.samples,
        models={"clip": read.clip, "segmenters": read.segmenters},
        settings=told,
        talkers=explain_talkers.of(told, read.explainer, chat.Server, where),
        batch=snakemake.resources.batch,
        device=where,
    )
    tables.write_all(found, out)
    meta.write(out.meta, out.table1, snakemake.params, read, notes=score_files.NOTES)
