"""Write what becomes of the captions of some pictures when neurons get noise or are set to zero."""

from vlmscope.mm_neurons.perturb import effects as perturb_effects
from vlmscope.mm_neurons.schemas import EFFECTS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    effects = perturb_effects.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        captions=snakemake.input.captions,
        nouns=snakemake.input.nouns,
        neurons=snakemake.input.neurons,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
    )
    tables.write(effects, snakemake.output.effects, EFFECTS)
