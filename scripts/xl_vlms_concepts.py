"""Write whether concepts follow what pictures show, and whether they carry the token."""

from vlmscope.session import logged, settings
from vlmscope.store import tables
from vlmscope.xl_vlms.cox import classes, faithful
from vlmscope.xl_vlms.dictionaries import schemas

with logged(snakemake.log[0]):
    dictionaries, chosen = snakemake.input.dictionaries, settings(snakemake.params.settings)
    shared = {"train": snakemake.input.train, "model": snakemake.wildcards.model, "settings": chosen}
    shown = classes.from_files(dictionaries, raw=snakemake.input.raw, **shared)
    edited = faithful.from_files(dictionaries, test=snakemake.input.test, words=snakemake.input.vocabulary, **shared)
    tables.write(shown, snakemake.output.classes, schemas.CLASSES)
    tables.write(edited, snakemake.output.faithful, schemas.FAITHFUL)
