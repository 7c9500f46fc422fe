# llava-interp beyond the released code: other ways to choose tokens, states taken away at one layer, attention blocked
# while a description is written.
#
# NEEDS     results/models/{model}/model.json, mean.safetensors, the dataset named by llava_interp.objects
# MAKES     results/llava_interp/{model}/records/choices.parquet, choices.csv   tokens by attention, length, lens
#           results/llava_interp/{model}/records/layers.parquet, layers.csv     states replaced layer by layer
#           results/llava_interp/{model}/records/spoken.parquet, spoken.csv     descriptions under blocked attention
# SETTINGS  llava_interp.choices, llava_interp.layers, llava_interp.spoken, llava_interp.objects, llava_interp.asking


rule llava_interp_choices:
    """Take away tokens that attention, length or lens chose."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        vector="results/llava_interp/{model}/mean.safetensors",
    output:
        records="results/llava_interp/{model}/records/choices.parquet",
        funnel="results/llava_interp/{model}/records/choices.json",
    log:
        "logs/llava_interp_choices/{model}.log",
    benchmark:
        "benchmarks/llava_interp_choices/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            choices="llava_interp.choices",
            value="llava_interp.ablation.value",
        ),
        code=code("llava_interp_choices", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_choices.py"


rule llava_interp_choices_tables:
    """What such tokens cost beyond random ones."""
    input:
        records="results/llava_interp/{model}/records/choices.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/choices.csv",
            caption="../report/llava_interp_choices.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "tokens chosen by attention, length, lens"},
        ),
        meta="results/llava_interp/{model}/choices.meta.json",
    log:
        "logs/llava_interp_choices_tables/{model}.log",
    params:
        settings=settings(answers="llava_interp.answers", **drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_choices_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_choices_tables.py"


rule llava_interp_layers:
    """Replace states of visual tokens at one layer."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/layers.parquet",
        funnel="results/llava_interp/{model}/records/layers.json",
    log:
        "logs/llava_interp_layers/{model}.log",
    benchmark:
        "benchmarks/llava_interp_layers/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            layers="llava_interp.layers",
        ),
        code=code("llava_interp_layers", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_layers.py"


rule llava_interp_layers_tables:
    """At which layer the object's tokens may go."""
    input:
        records="results/llava_interp/{model}/records/layers.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/layers.csv",
            caption="../report/llava_interp_layers.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "states taken away at one layer"},
        ),
        meta="results/llava_interp/{model}/layers.meta.json",
    log:
        "logs/llava_interp_layers_tables/{model}.log",
    params:
        settings=settings(answers="llava_interp.answers", **drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_layers_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_layers_tables.py"


rule llava_interp_spoken:
    """Describe pictures while nothing that is written may look at the object."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/spoken.parquet",
        funnel="results/llava_interp/{model}/records/spoken.json",
    log:
        "logs/llava_interp_spoken/{model}.log",
    benchmark:
        "benchmarks/llava_interp_spoken/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            spoken="llava_interp.spoken",
            synonyms="llava_interp.synonyms",
        ),
        code=code("llava_interp_spoken", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_spoken.py"


rule llava_interp_spoken_tables:
    """How often the object is still named."""
    input:
        records="results/llava_interp/{model}/records/spoken.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/spoken.csv",
            caption="../report/llava_interp_spoken.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "attention blocked while writing"},
        ),
        meta="results/llava_interp/{model}/spoken.meta.json",
    log:
        "logs/llava_interp_spoken_tables/{model}.log",
    params:
        settings=settings(answers="llava_interp.answers", synonyms="llava_interp.synonyms", **drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_spoken_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_spoken_tables.py"
