"""Write effects, crossed domains and tables 3 to 5, and what made them."""

from vlmscope.mmneuron import effects_files
from vlmscope.session import logged, settings
from vlmscope.show import effects, figures
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    chosen, out = settings(snakemake.params.settings), snakemake.output
    found, meta = effects_files.results(
        model=snakemake.wildcards.model,
        settings=chosen,
        conditions=settings(snakemake.params.conditions),
        data=settings(snakemake.params.data),
        files=dict(snakemake.input.items()),
    )
    title = f"{chosen['label']} ({chosen['scale']} scale)"
    tables.write_all(found, dict(out.items()))
    figures.effects(found["effects"][0], f"{title}, zeroed:", out.effects_figure, out.effects_picture)
    effects.cross(found["cross"][0], f"{title}: neurons zeroed", out.cross_figure, out.cross_picture)
    files.write_json(meta, out.meta)
