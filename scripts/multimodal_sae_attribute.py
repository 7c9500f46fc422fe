"""Trace answers about pictures back to latents."""

from vlmscope import meta
from vlmscope.models.load import load
from vlmscope.multimodal_sae.attribution import files as attribution_files
from vlmscope.multimodal_sae.attribution import tables as attribution_tables
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    read, out = snakemake.input, snakemake.output
    rows, modes, best, prompts = attribution_files.from_files(
        load(read.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=read.weights,
        raw=read.raw,
        table=read.samples,
        settings=settings(snakemake.params.settings),
    )
    tables.write(rows, out.rows, attribution_tables.ATTRIBUTION)
    tables.write(modes, out.modes, attribution_tables.MODES)
    files.write_json(best, out.filters)
    files.write_json(prompts, out.prompts)
    meta.write(out.meta, out.modes, snakemake.params, read, notes=attribution_tables.NOTES)
