"""Train an autoencoder once more, from another seed."""

from vlmscope.multimodal_sae.train import job, run
from vlmscope.session import device, logged, settings

with logged(snakemake.log[0]):
    told, out = snakemake.params, snakemake.output
    place = device(snakemake.resources.gpu, snakemake.resources.device)
    wanted = job.of_rule(
        job.seeded(settings(told.settings), snakemake.wildcards.seed),
        settings(told.data),
        **snakemake.input,
        state=told.state,
        code=told.code,
        batch=snakemake.resources.batch,
        threads=snakemake.threads,
    )
    run.make(wanted, out.weights, out.log, run.processes(place, snakemake.resources.gpu), place)
