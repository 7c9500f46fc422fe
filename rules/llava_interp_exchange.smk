# llava-interp: result files of the released code, in and out.
#
# NEEDS     results/llava_interp/{model}/records/; for what is imported llava_interp.exchange.imported
# MAKES     results/llava_interp/{model}/records/ablation.parquet, vqa.parquet, knockout.parquet     imported
#           results/llava_interp/{model}/released/ablation.json, vqa.json, knockout.json              exported
# SETTINGS  llava_interp.exchange
from vlmscope.llava_interp.exchange.plan import Released as ReleasedResults

released_results = ReleasedResults(cfg)


# What is imported is not made.
ruleorder: llava_interp_import_ablation > llava_interp_ablate
ruleorder: llava_interp_import_vqa > llava_interp_vqa
ruleorder: llava_interp_import_knockout > llava_interp_knockout


rule llava_interp_import_ablation:
    """Read descriptions and polls from a result file of the released code."""
    input:
        file=released_results.ablation,
        samples=seen["samples"],
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/ablation.parquet",
        funnel="results/llava_interp/{model}/records/ablation.json",
    wildcard_constraints:
        model=flow.one_of(released_results.models("ablation")),
    log:
        "logs/llava_interp_import_ablation/{model}.log",
    params:
        settings=settings(objects="llava_interp.objects", asking="llava_interp.asking"),
        code=code("llava_interp_import_ablation", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_import_ablation.py"


rule llava_interp_import_vqa:
    """Read answers to the pictures' questions from a result file of the released code."""
    input:
        file=released_results.vqa,
        samples=seen["samples"],
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/vqa.parquet",
        funnel="results/llava_interp/{model}/records/vqa.json",
    wildcard_constraints:
        model=flow.one_of(released_results.models("vqa")),
    log:
        "logs/llava_interp_import_vqa/{model}.log",
    params:
        settings=settings(objects="llava_interp.objects", asking="llava_interp.asking"),
        code=code("llava_interp_import_vqa", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_import_vqa.py"


rule llava_interp_import_knockout:
    """Read answers under blocked attention from a result file of the released code."""
    input:
        file=released_results.knockout,
        samples=seen["samples"],
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/knockout.parquet",
        funnel="results/llava_interp/{model}/records/knockout.json",
    wildcard_constraints:
        model=flow.one_of(released_results.models("knockout")),
    log:
        "logs/llava_interp_import_knockout/{model}.log",
    params:
        settings=settings(objects="llava_interp.objects", asking="llava_interp.asking"),
        code=code("llava_interp_import_knockout", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_import_knockout.py"


rule llava_interp_export:
    """Write results of a model as the released code does."""
    input:
        ablation="results/llava_interp/{model}/records/ablation.parquet",
        vqa="results/llava_interp/{model}/records/vqa.parquet",
        knockout="results/llava_interp/{model}/records/knockout.parquet",
        model="results/models/{model}/model.json",
    output:
        ablation="results/llava_interp/{model}/released/ablation.json",
        vqa="results/llava_interp/{model}/released/vqa.json",
        knockout="results/llava_interp/{model}/released/knockout.json",
    log:
        "logs/llava_interp_export/{model}.log",
    params:
        settings=settings(asking="llava_interp.asking", value="llava_interp.ablation.value"),
        code=code("llava_interp_export", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_export.py"
