"""Write the page on which a word is picked."""

from vlmscope.atlas import page
from vlmscope.session import logged, settings
from vlmscope.show import joint_page

with logged(snakemake.log[0]):
    read = snakemake.input
    data, pictures = page.from_files(
        paths=read,
        dictionaries=dict(zip(snakemake.params.sets, read.dictionaries, strict=True)),
        words=settings(snakemake.params.words),
        settings=settings(snakemake.params.settings),
    )
    joint_page.write(data, pictures, target=snakemake.output.page, **settings(snakemake.params.look))
