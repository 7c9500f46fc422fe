# llava-interp beyond the released code: single visual tokens given back, one of two objects taken away, weights
# of attention, an affine lens.
#
# NEEDS     results/models/{model}/model.json, mean.safetensors, the dataset named by llava_interp.objects
# MAKES     results/llava_interp/{model}/records/tracing.parquet     probability by restored patch and layer
#           results/llava_interp/{model}/tracing.csv, tracing.svg, tracing.png
#           results/llava_interp/{model}/records/several.parquet     answers about two objects, one taken away
#           results/llava_interp/{model}/several_objects.csv
#           results/llava_interp/{model}/records/attention.parquet   attention of the last token, by window
#           results/llava_interp/{model}/attention.csv
#           results/llava_interp/{model}/lens_tuned.safetensors, records/lens_tuned.parquet   maps, and hits by layer
#           results/llava_interp/{model}/lens_tuned.csv
# SETTINGS  llava_interp.tuned, llava_interp.tracing, llava_interp.several, llava_interp.attention, llava_interp.objects, llava_interp.asking

splits = f"results/data/{cfg.llava_interp.objects.dataset}/{{split}}.parquet"
drawing = {"bootstrap": "llava_interp.bootstrap", "seed": "llava_interp.seed"}


rule llava_interp_more:
    """What this system has beyond the released code, for every configured model."""
    input:
        expand(
            "results/llava_interp/{model}/{file}",
            model=cfg.run.llava_interp,
            file=[
                *("tracing.csv", "tracing.svg", "several_objects.csv", "attention.csv", "lens_tuned.csv"),
                *("choices.csv", "layers.csv", "spoken.csv", "pairs.csv", "detector.csv", "without.svg"),
            ],
        ),


rule llava_interp_tracing:
    """Give single visual tokens back to a model that lost them."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        vector="results/llava_interp/{model}/mean.safetensors",
    output:
        records="results/llava_interp/{model}/records/tracing.parquet",
        funnel="results/llava_interp/{model}/records/tracing.json",
    log:
        "logs/llava_interp_tracing/{model}.log",
    benchmark:
        "benchmarks/llava_interp_tracing/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            images="llava_interp.tracing.images",
            corrupted="llava_interp.tracing.corrupted",
            layers="llava_interp.tracing.layers",
            seed="llava_interp.tracing.seed",
            value="llava_interp.ablation.value",
        ),
        code=code("llava_interp_tracing", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=480, batch=32),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_tracing.py"


rule llava_interp_tracing_tables:
    """What patches of the object give back, beside others."""
    input:
        records="results/llava_interp/{model}/records/tracing.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/tracing.csv",
            caption="../report/llava_interp_tracing.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "patches given back"},
        ),
        meta="results/llava_interp/{model}/tracing.meta.json",
    log:
        "logs/llava_interp_tracing_tables/{model}.log",
    params:
        settings=settings(**drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_tracing_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_tracing_tables.py"


rule llava_interp_tracing_figure:
    """Maps of what every patch of some pictures gives back."""
    input:
        **seen,
        records="results/llava_interp/{model}/records/tracing.parquet",
    output:
        figure=report(
            "results/llava_interp/{model}/tracing.svg",
            caption="../report/llava_interp_tracing.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "maps of patches given back"},
        ),
        picture="results/llava_interp/{model}/tracing.png",
    log:
        "logs/llava_interp_tracing_figure/{model}.log",
    params:
        title=settings(scale="scale", label="models.{model}.label", shown="llava_interp.tracing.shown"),
        code=code("llava_interp_tracing_figure"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_tracing_figure.py"


rule llava_interp_several:
    """Take one of two objects away and ask for both."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        vector="results/llava_interp/{model}/mean.safetensors",
    output:
        records="results/llava_interp/{model}/records/several.parquet",
        funnel="results/llava_interp/{model}/records/several.json",
    log:
        "logs/llava_interp_several/{model}.log",
    benchmark:
        "benchmarks/llava_interp_several/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            several="llava_interp.several",
            value="llava_interp.ablation.value",
        ),
        code=code("llava_interp_several", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_several.py"


rule llava_interp_several_tables:
    """Whether an object survives what takes another one away."""
    input:
        records="results/llava_interp/{model}/records/several.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/several_objects.csv",
            caption="../report/llava_interp_several.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "one of two objects taken away"},
        ),
        meta="results/llava_interp/{model}/several_objects.meta.json",
    log:
        "logs/llava_interp_several_tables/{model}.log",
    params:
        settings=settings(answers="llava_interp.answers", **drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_several_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_several_tables.py"


rule llava_interp_attention:
    """How much attention the last token pays to the object."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/attention.parquet",
        funnel="results/llava_interp/{model}/records/attention.json",
    log:
        "logs/llava_interp_attention/{model}.log",
    benchmark:
        "benchmarks/llava_interp_attention/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            attention="llava_interp.attention",
            knockout="llava_interp.knockout",
        ),
        code=code("llava_interp_attention", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, batch=1),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_attention.py"


rule llava_interp_attention_tables:
    """Attention on the object beside what blocking it costs."""
    input:
        records="results/llava_interp/{model}/records/attention.parquet",
        knockout="results/llava_interp/{model}/records/knockout.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/attention.csv",
            caption="../report/llava_interp_attention.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "attention on the object"},
        ),
        meta="results/llava_interp/{model}/attention.meta.json",
    log:
        "logs/llava_interp_attention_tables/{model}.log",
    params:
        settings=settings(answers="llava_interp.answers", **drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_attention_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_attention_tables.py"


rule llava_interp_tuned:
    """Fit an affine map for every layer, and read visual positions through it."""
    input:
        raw=seen["raw"],
        fitted=splits.format(split=cfg.llava_interp.tuned.fitted),
        samples=splits.format(split=cfg.llava_interp.tuned.judged),
        model="results/models/{model}/model.json",
    output:
        maps="results/llava_interp/{model}/lens_tuned.safetensors",
        hits="results/llava_interp/{model}/records/lens_tuned.parquet",
    log:
        "logs/llava_interp_tuned/{model}.log",
    benchmark:
        "benchmarks/llava_interp_tuned/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            lens="llava_interp.lens",
            tuned="llava_interp.tuned",
        ),
        code=code("llava_interp_tuned", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120, batch=8),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_tuned.py"


rule llava_interp_tuned_tables:
    """In how many patches of an object an affine lens names it."""
    input:
        hits="results/llava_interp/{model}/records/lens_tuned.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/lens_tuned.csv",
            caption="../report/llava_interp_tuned.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "affine lens"},
        ),
        meta="results/llava_interp/{model}/lens_tuned.meta.json",
    log:
        "logs/llava_interp_tuned_tables/{model}.log",
    params:
        settings=settings(**drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_tuned_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_tuned_tables.py"
