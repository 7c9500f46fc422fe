"""Score names of latents: IoU, CLIP score, consistency."""

from vlmscope import meta
from vlmscope.fetch import chat
from vlmscope.multimodal_sae.explain import talkers
from vlmscope.multimodal_sae.score import files
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    given = {"labels": read.labels, "raws": read.raws, "tables": read.samples, "settings": told}
    found = files.from_files(
        {"trained": read.trained, "untrained": read.untrained},
        **given,
        models={"clip": read.clip, "segmenters": read.segmenters},
        talkers=talkers.of(told, read.explainer, chat.Server, where),
        batch=snakemake.resources.batch,
        device=where,
    )
    tables.write_all(found, out)
    meta.write(out.meta, out.table1, snakemake.params, read, notes=files.NOTES)
