"""Write the unembedding of a model and the text of every token."""

from vlmscope.session import logged
from vlmscope.xl_vlms.words import vocabulary

with logged(snakemake.log[0]):
    found = vocabulary.load(snakemake.input.model)
    vocabulary.write(found, snakemake.output.vocabulary, {"model": snakemake.wildcards.model})
