"""Ask about a white picture with named latents held, and judge the answers."""

from vlmscope import meta
from vlmscope.fetch import chat
from vlmscope.models.load import load
from vlmscope.multimodal_sae.explain import talkers
from vlmscope.multimodal_sae.tables import white, white_tables
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.stats import Draws
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    where = device(snakemake.resources.gpu, snakemake.resources.device)
    given = {"weights": read.weights, "cached": read.cache, "labels": read.labels, "settings": told}
    judge = talkers.of(told, read.explainer, chat.Server, where)("judge")
    answers = white.from_files(load(read.model, where), **given, judge=judge, rows=snakemake.resources.batch)
    found = white_tables.table9(answers, Draws(told["white"]["bootstrap"], told["white"]["seed"]))
    tables.write(answers, out.answers, white_tables.ANSWERS)
    tables.write(found, out.table, white_tables.TABLE9)
    meta.write(out.meta, out.table, snakemake.params, read, notes=white_tables.NOTES)
