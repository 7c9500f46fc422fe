"""Write the results of a model as the tree of files that the released code leaves behind."""

from pathlib import Path

from vlmscope.mm_neurons.exchange import export
from vlmscope.session import logged, settings
from vlmscope.store import files

with logged(snakemake.log[0]):
    made = export.write(
        Path(snakemake.output.files).parent,
        raw=snakemake.input.raw,
        samples=snakemake.input.samples,
        index=snakemake.input.index[0],
        captions=snakemake.input.captions,
        nouns=snakemake.input.nouns,
        tokens=snakemake.input.tokens,
        neurons=snakemake.input.neurons,
        maps=snakemake.input.maps,
        effects=snakemake.input.effects,
        settings={**settings(snakemake.params.settings), "activation": snakemake.wildcards.activation},
    )
    files.write_json(made, snakemake.output.files)
