"""Write the results of a model as the tree of files that the released code leaves behind."""

from pathlib import Path

from vlmscope.mm_neurons.exchange import export
from vlmscope.mm_neurons.results import Results
from vlmscope.session import logged, settings
from vlmscope.store import files

with logged(snakemake.log[0]):
    made = export.write(
        Path(snakemake.output.files).parent,
        Results.of(snakemake.input),
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        index=snakemake.input.index[0],
        settings={**settings(snakemake.params.settings), "activation": snakemake.wildcards.activation},
    )
    files.write_json(made, snakemake.output.files)
