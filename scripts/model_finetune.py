"""Go on training a model on captions of one kind."""

from vlmscope.finetune.teach import finetune
from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store.files import write_json

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    prepare_torch(snakemake.threads, chosen["seed"])
    made = finetune(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=chosen,
        batch=snakemake.resources.batch,
        folder=snakemake.params.folder,
    )
    write_json(made, snakemake.output[0])
