"""Train small autoencoders of several layers beside one another, and cache what they find in pictures."""

from vlmscope.models.load import load
from vlmscope.multimodal_sae.tables import small
from vlmscope.multimodal_sae.train import job
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read = settings(snakemake.params.settings), snakemake.input
    about, batch = settings(snakemake.params.about), snakemake.resources.batch
    small.from_files(
        load(read.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        data=job.read_from(about.pop("data"), read.raws, read.samples),
        cached={"raws": read.cached_raws, "tables": read.cached, "batch": batch, "code": snakemake.params.code},
        settings={**told, **about},
        target=snakemake.output.folder,
    )
