"""Say what became of every steered answer."""

from vlmscope import meta
from vlmscope.fetch import chat
from vlmscope.multimodal_sae import explain_talkers, steer_categories, steer_shares
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.stats import Draws
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    rows, kept = steer_categories.from_files(
        read.steering,
        told,
        explain_talkers.of(told, read.judge, chat.Server, where),
        state=snakemake.params.state,
        code=snakemake.params.code,
    )
    tables.write(rows, out.rows, steer_categories.ROWS)
    tables.write(steer_shares.table(rows, Draws(told["bootstrap"], told["seed"])), out.shares, steer_shares.SHARES)
    meta.write(out.meta, out.shares, snakemake.params, read, notes=steer_shares.NOTES)
    kept.clear()
