"""Write states of prompts that go on with the right and with the opposite answer."""

from vlmscope.models.load import load
from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.xl_vlms.learned import states, vectors

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    asked = settings(snakemake.params.settings)
    parts = states.from_files(
        load(snakemake.input.model, device(snakemake.resources.gpu, snakemake.resources.device)),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=asked,
        batch=snakemake.resources.batch,
    )
    vectors.write_all(parts, snakemake.output.states, asked)
