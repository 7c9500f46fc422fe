"""Write the answers with the domain's own neurons set to zero, all conditions in one job."""

from vlmscope.mmneuron import generate, masks
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    chosen, conditions = settings(snakemake.params.settings), settings(snakemake.params.conditions)
    loaded = load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device))
    domain, family = snakemake.wildcards.domain, loaded.family.name
    neurons = masks.read(snakemake.input.neurons, chosen.pop("domains"))
    answers = generate.from_files(
        loaded,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=chosen,
        conditions=masks.of_conditions(neurons, family, domain, conditions),
        batch=snakemake.resources.batch,
    )
    tables.write(answers, snakemake.output.answers, ANSWERS)
