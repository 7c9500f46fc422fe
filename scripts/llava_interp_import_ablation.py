"""Read records of ablation from a result file of the released code."""

from vlmscope.llava_interp.exchange import imported
from vlmscope.llava_interp.schemas import RECORDS
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.settings)
    known = imported.objects(snakemake.input.samples, told["objects"])
    model = imported.speech(snakemake.input.model, told["asking"])
    found = imported.ablation(snakemake.input.file, known, model)
    tables.write(found, snakemake.output.records, RECORDS)
    files.write_json({"imported": found["sample"].n_unique()}, snakemake.output.funnel)
