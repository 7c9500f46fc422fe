# llava-interp: attention blocked between groups of tokens, by windows of layers and layer by layer.
#
# NEEDS     results/models/{model}/model.json, the dataset named by llava_interp.objects
# MAKES     results/llava_interp/{model}/records/knockout.parquet   one answer per picture, group and window
#           results/llava_interp/{model}/knockout.csv, knockout.svg, knockout.png
#           results/llava_interp/{model}/knockout_layer_sweep.csv, knockout_layer_sweep.svg, knockout_layer_sweep.png
# SETTINGS  llava_interp.objects, llava_interp.asking, llava_interp.knockout


rule llava_interp_knockout:
    """Answer the pictures' questions while attention is blocked."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/knockout.parquet",
        funnel="results/llava_interp/{model}/records/knockout.json",
    log:
        "logs/llava_interp_knockout/{model}.log",
    benchmark:
        "benchmarks/llava_interp_knockout/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            knockout="llava_interp.knockout",
        ),
        code=code("llava_interp_knockout", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=32),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_knockout.py"


rule llava_interp_knockout_tables:
    """What blocked attention costs, beside as many random keys."""
    input:
        knockout="results/llava_interp/{model}/records/knockout.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/knockout.csv",
            caption="../report/llava_interp_knockout.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "attention blocked"},
        ),
        sweep="results/llava_interp/{model}/knockout_layer_sweep.csv",
        meta="results/llava_interp/{model}/knockout.meta.json",
    log:
        "logs/llava_interp_knockout_tables/{model}.log",
    params:
        settings=settings(**judging),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_knockout_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_knockout_tables.py"


rule llava_interp_knockout_figures:
    """Accuracy by blocked group and window, and what single layers cost."""
    input:
        table="results/llava_interp/{model}/knockout.csv",
        sweep="results/llava_interp/{model}/knockout_layer_sweep.csv",
    output:
        figure=report(
            "results/llava_interp/{model}/knockout.svg",
            caption="../report/llava_interp_knockout.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "attention blocked, by window"},
        ),
        picture="results/llava_interp/{model}/knockout.png",
        sweep=report(
            "results/llava_interp/{model}/knockout_layer_sweep.svg",
            caption="../report/llava_interp_knockout.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "attention blocked, layer by layer"},
        ),
        sweep_picture="results/llava_interp/{model}/knockout_layer_sweep.png",
    log:
        "logs/llava_interp_knockout_figures/{model}.log",
    params:
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_knockout_figures"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_knockout_figures.py"
