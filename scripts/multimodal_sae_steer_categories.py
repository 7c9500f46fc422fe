"""Say what became of every steered answer."""

from vlmscope import meta
from vlmscope.fetch import chat
from vlmscope.multimodal_sae.explain import talkers
from vlmscope.multimodal_sae.steer import categories, shares
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.stats import Draws
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    rows, kept = categories.from_files(
        read.steering,
        told,
        talkers.of(told, read.judge, chat.Server, where),
        state=snakemake.params.state,
        code=snakemake.params.code,
    )
    tables.write(rows, out.rows, categories.ROWS)
    tables.write(shares.table(rows, Draws(told["bootstrap"], told["seed"])), out.shares, shares.SHARES)
    meta.write(out.meta, out.shares, snakemake.params, read, notes=shares.NOTES)
    kept.clear()
