"""Write the paper's tables about concept dictionaries, and draw its figures."""

from vlmscope.session import logged, settings
from vlmscope.show import concept_figures
from vlmscope.store import tables
from vlmscope.xl_vlms.cox import tables as cox_tables
from vlmscope.xl_vlms.dictionaries import schemas

with logged(snakemake.log[0]):
    chosen, title = settings(snakemake.params.settings), concept_figures.title(settings(snakemake.params.title))
    found = cox_tables.from_files(
        snakemake.input.scored,
        diagnosed=snakemake.input.diagnosed,
        overlaps=snakemake.input.overlaps,
        dictionaries=snakemake.input.dictionaries,
        settings=chosen,
    )
    recon = tables.read(snakemake.input.recon, schemas.RECON)
    tables.write_all(found, snakemake.output)
    concept_figures.grounded(found["fig3"][0].filter(method=chosen["main"]), title, snakemake.output.fig3_picture)
    concept_figures.layers(found["layers"][0], title, snakemake.output.layers_picture)
    concept_figures.recon(recon, title, snakemake.output.recon_picture)
