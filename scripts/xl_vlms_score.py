"""Write how the words of concepts fit pictures and captions."""

from vlmscope.session import device, logged, prepare_torch, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.cox import score
from vlmscope.xl_vlms.dictionaries import schemas

with logged(snakemake.log[0]):
    prepare_torch(snakemake.threads)
    found = score.from_files(
        snakemake.input.dictionaries,
        model=snakemake.wildcards.model,
        words=snakemake.input.vocabulary,
        clip=snakemake.input.clip,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        batch=snakemake.resources.batch,
        device=device(snakemake.resources.gpu, snakemake.resources.device),
    )
    tables.write(found, snakemake.output.scored, schemas.SCORED)
