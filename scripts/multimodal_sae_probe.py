"""Write the latents that stand out in pictures and texts."""

from vlmscope.models.load import load
from vlmscope.multimodal_sae.attribution import probe
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.show import concept_figures, overlays

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    sheets = probe.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=snakemake.input.weights,
        raw=snakemake.input.raw,
        table=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        target=snakemake.output.folder,
    )
    title = concept_figures.title(settings(snakemake.params.look))
    overlays.sheets(sheets, f"Latents that stand out: {title}", probe.NOTE, snakemake.output.folder)
