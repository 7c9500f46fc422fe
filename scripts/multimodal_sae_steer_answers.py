"""Ask about pictures with latents held, and count what the answers name."""

from vlmscope import meta
from vlmscope.models.load import load
from vlmscope.multimodal_sae.steer import answers, features
from vlmscope.multimodal_sae.steer import tables as steer_tables
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    told, read, out = settings(snakemake.params.settings), snakemake.input, snakemake.output
    steering, chosen = answers.from_files(
        load(read.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        weights=read.weights,
        found={"raw": read.found_raw, "samples": read.found},
        asked={"raw": read.asked_raw, "samples": read.asked},
        settings=told,
        batch=snakemake.resources.batch,
    )
    tables.write(steering, out.steering, answers.STEERING)
    tables.write(chosen, out.features, features.FEATURES)
    found = steer_tables.effects(steering, told["steer"]["bootstrap"], told["steer"]["seed"])
    tables.write(found, out.effects, steer_tables.EFFECTS)
    meta.write(out.meta, out.effects, snakemake.params, read, notes=steer_tables.NOTES)
