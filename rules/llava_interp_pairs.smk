# llava-interp beyond the released code: activation patching on minimal pairs, objects that are there told from invented
# ones by the lens.
#
# NEEDS     results/models/{model}/model.json, the dataset named by llava_interp.objects
# MAKES     results/llava_interp/{model}/records/pairs.parquet, pairs.csv         states of a picture put into its twin
#           results/llava_interp/{model}/records/detector.parquet, detector.csv   scores of present and absent objects
#           results/llava_interp/{model}/without.svg, without.png                 what is lost and led back, in one figure
# SETTINGS  llava_interp.pairs, llava_interp.detector, llava_interp.objects, llava_interp.asking


rule llava_interp_pairs:
    """Put states of a picture into its twin, which has another object in the same place."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/pairs.parquet",
        funnel="results/llava_interp/{model}/records/pairs.json",
    log:
        "logs/llava_interp_pairs/{model}.log",
    benchmark:
        "benchmarks/llava_interp_pairs/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            pairs="llava_interp.pairs",
        ),
        code=code("llava_interp_pairs", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_pairs.py"


rule llava_interp_pairs_tables:
    """How far they lead the twin back."""
    input:
        records="results/llava_interp/{model}/records/pairs.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/pairs.csv",
            caption="../report/llava_interp_pairs.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "states put into twins"},
        ),
        meta="results/llava_interp/{model}/pairs.meta.json",
    log:
        "logs/llava_interp_pairs_tables/{model}.log",
    params:
        settings=settings(**drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_pairs_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_pairs_tables.py"


rule llava_interp_detector:
    """Ask after objects that are there and others, and read what the lens says of them."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        records="results/llava_interp/{model}/records/detector.parquet",
        funnel="results/llava_interp/{model}/records/detector.json",
    log:
        "logs/llava_interp_detector/{model}.log",
    benchmark:
        "benchmarks/llava_interp_detector/{model}.tsv"
    params:
        settings=settings(
            asking="llava_interp.asking",
            question="llava_interp.lens.question",
            detector="llava_interp.detector",
        ),
        code=code("llava_interp_detector", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_detector.py"


rule llava_interp_detector_tables:
    """How well scores tell them apart."""
    input:
        records="results/llava_interp/{model}/records/detector.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/detector.csv",
            caption="../report/llava_interp_detector.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "objects that are there and invented ones"},
        ),
        meta="results/llava_interp/{model}/detector.meta.json",
    log:
        "logs/llava_interp_detector_tables/{model}.log",
    params:
        settings=settings(answers="llava_interp.answers", **drawing),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_detector_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_detector_tables.py"


rule llava_interp_without_figure:
    """Answers without chosen tokens or states of a layer, and twins led back."""
    input:
        choices="results/llava_interp/{model}/choices.csv",
        layers="results/llava_interp/{model}/layers.csv",
        pairs="results/llava_interp/{model}/pairs.csv",
    output:
        figure=report(
            "results/llava_interp/{model}/without.svg",
            caption="../report/llava_interp_without.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "chosen tokens, layers and twins"},
        ),
        picture="results/llava_interp/{model}/without.png",
    log:
        "logs/llava_interp_without_figure/{model}.log",
    params:
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_without_figure"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_without_figure.py"
