"""Write the map of the pictures: two principal components of their embeddings."""

from vlmscope.mmneuron import pca
from vlmscope.session import logged, settings
from vlmscope.show import domains
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    chosen = settings(snakemake.params.settings)
    table, meta = pca.from_files(snakemake.input.embeddings, snakemake.input.about)
    tables.write(table, snakemake.output.table, pca.PCA)
    files.write_json(meta, snakemake.output.meta)
    title = f"{chosen['label']} ({chosen['scale']} scale): {meta['embedding']}"
    domains.pca(table, meta["explained_variance"], title, *snakemake.output.figures)
