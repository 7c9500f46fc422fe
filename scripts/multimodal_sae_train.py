"""Train an autoencoder on the states of one site."""

from vlmscope.multimodal_sae.train import job, run
from vlmscope.session import device, logged, settings
from vlmscope.show import sparse

with logged(snakemake.log[0]):
    told, out = snakemake.params, snakemake.output
    place = device(snakemake.resources.gpu, snakemake.resources.device)
    wanted = job.of_rule(
        settings(told.settings),
        settings(told.data),
        **snakemake.input,
        state=told.state,
        code=told.code,
        batch=snakemake.resources.batch,
        threads=snakemake.threads,
    )
    table = run.make(wanted, out.weights, out.log, run.processes(place, snakemake.resources.gpu), place)
    sparse.curve(table, sparse.title(**settings(told.look)), out.figure, out.picture)
