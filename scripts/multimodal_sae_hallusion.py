"""Change the latents on which answers rest."""

from vlmscope import meta
from vlmscope.models.load import load
from vlmscope.multimodal_sae.tables import hallusion, hallusion_tables
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.stats import Draws
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    given = {"weights": read.weights, "raw": read.raw, "table": read.samples, "settings": told}
    loaded = load(read.model, device(snakemake.resources.gpu, snakemake.resources.device))
    answers, counts = hallusion.from_files(loaded, **given, rows=snakemake.resources.batch)
    found = hallusion_tables.table11(answers, counts, Draws(told["hallusion"]["bootstrap"], told["hallusion"]["seed"]))
    tables.write(answers, out.answers, hallusion_tables.ANSWERS)
    tables.write(found, out.table, hallusion_tables.TABLE11)
    meta.write(out.meta, out.table, snakemake.params, read, notes=hallusion_tables.NOTES)
