"""Write what the logit lens reads in one domain: tokens of few samples, entropy curves of many."""

from vlmscope.mmneuron import lens
from vlmscope.mmneuron.schemas import CELLS, CURVES, LENS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = lens.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        shift=snakemake.input.shift,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(found.cells, snakemake.output.cells, CELLS)
    tables.write(found.curves, snakemake.output.curves, CURVES)
    tables.write(lens.table(found.cells), snakemake.output.table, LENS)
    files.write_json(found.about, snakemake.output.about)
