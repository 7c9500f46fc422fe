"""Write what pages of the lens tell of states beside it."""

from vlmscope.llava_interp.look import views_run
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    views_run.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        shown=snakemake.input.shown,
        maps=snakemake.input.maps,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        target=snakemake.output.views,
    )
