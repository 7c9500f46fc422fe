"""Write results of a model as the released code does."""

from vlmscope.llava_interp.exchange import imported, results
from vlmscope.llava_interp.schemas import KNOCKOUTS, RECORDS
from vlmscope.session import logged, settings
from vlmscope.store import files, tables

with logged(snakemake.log[0]):
    told = settings(snakemake.params.settings)
    first = imported.speech(snakemake.input.model, told["asking"]).first
    described = tables.read(snakemake.input.ablation, RECORDS)
    files.write_json(results.ablation(described, first, told["value"]), snakemake.output.ablation)
    files.write_json(results.vqa(tables.read(snakemake.input.vqa, RECORDS)), snakemake.output.vqa)
    files.write_json(results.knockout(tables.read(snakemake.input.knockout, KNOCKOUTS)), snakemake.output.knockout)
