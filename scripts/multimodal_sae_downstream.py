"""Ask questions with the autoencoder in the loop."""

from vlmscope import meta
from vlmscope.models.load import load
from vlmscope.multimodal_sae.quality import downstream
from vlmscope.multimodal_sae.train import job
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    table, answers = downstream.from_files(
        load(read.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=read.weights,
        job=job.again(told, settings(snakemake.params.data), read, snakemake.resources.batch),
        asked=job.read_from(settings(snakemake.params.asked), [read.asked_raw], [read.asked]),
        settings=told["downstream"],
    )
    tables.write(table, out.table, downstream.DOWNSTREAM)
    tables.write(answers, out.answers, downstream.ANSWERS)
    meta.write(out.meta, out.table, snakemake.params, read, notes=downstream.NOTES)
