"""Write the text view."""

from vlmscope.multimodal_sae.look import text_view
from vlmscope.session import logged, settings
from vlmscope.show import latent_pages

with logged(snakemake.log[0]):
    page = text_view.from_files(
        texts=snakemake.input.texts,
        tokens=snakemake.input.tokens,
        explanations=snakemake.input.explanations,
        text_names=snakemake.input.text_names,
        **settings(snakemake.params.settings),
    )
    latent_pages.save("text_view", page, target=snakemake.output.page, **settings(snakemake.params.look))
