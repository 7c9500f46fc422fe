"""Write counts, masks and answers of a model as the released code does."""

from pathlib import Path

from vlmscope.mmneuron.exchange import export
from vlmscope.session import logged, settings
from vlmscope.store import files

with logged(snakemake.log[0]):
    made = export.write(
        Path(snakemake.output.files).parent,
        indices=snakemake.input.counts,
        neurons=snakemake.input.neurons,
        summary=snakemake.input.summary,
        untouched=snakemake.input.untouched,
        masked=snakemake.input.masked,
        samples=snakemake.input.samples,
        settings=settings(snakemake.params.settings),
        conditions=settings(snakemake.params.conditions),
    )
    files.write_json(made, snakemake.output.files)
