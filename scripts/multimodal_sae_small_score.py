"""Name latents of small autoencoders, and score the names."""

from vlmscope.fetch import chat
from vlmscope.multimodal_sae.explain import talkers
from vlmscope.multimodal_sae.tables import small_scores
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read = settings(snakemake.params.settings), snakemake.input
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    small_scores.write(
        read.folder,
        raws=read.raws,
        tables=read.samples,
        models={"clip": read.clip, "segmenters": read.segmenters},
        settings=told,
        talkers=talkers.of(told, read.explainer, chat.Server, where),
        state=snakemake.params.state,
        code=snakemake.params.code,
        batch=snakemake.resources.batch,
        device=where,
        targets=snakemake.output,
    )
