# llava-interp: what becomes of visual tokens - their mean, and answers without some of them (arXiv 2410.07149).
#
# NEEDS     results/models/{model}/model.json, the dataset named by llava_interp.objects
# MAKES     results/llava_interp/{model}/mean.safetensors            the mean visual token
#           results/llava_interp/{model}/records/ablation.parquet    descriptions and polls, a row per condition
#           results/llava_interp/{model}/records/vqa.parquet         answers to the pictures' own questions
#           results/llava_interp/{model}/records/NAME.json           pictures that each step of the choice left
#           results/llava_interp/{model}/ablation.csv, ablation_curve.svg, ablation_curve.png
# SETTINGS  llava_interp.objects, llava_interp.asking, llava_interp.mean, llava_interp.ablation

# What every step reads of the pictures, and what the companion of every table tells of model and data.
seen = {
    "raw": f"results/data/{cfg.llava_interp.objects.dataset}/raw.json",
    "samples": f"results/data/{cfg.llava_interp.objects.dataset}/{cfg.llava_interp.objects.split}.parquet",
}
behind_visual = ["results/models/{model}/model.json", seen["raw"]]
judging = {
    "answers": "llava_interp.answers",
    "geometry": "llava_interp.objects.geometry",
    "bootstrap": "llava_interp.bootstrap",
    "seed": "llava_interp.seed",
    "family": "models.{model}.family",
}


rule llava_interp_tables:
    """Tables and figures of this system, for every configured model."""
    input:
        expand(
            "results/llava_interp/{model}/{file}",
            model=cfg.run.llava_interp,
            file=[
                "ablation.csv",
                "ablation_curve.svg",
                "knockout.csv",
                "knockout.svg",
                "lens_hit_rate.csv",
                "lens_hit_rate.svg",
            ],
        ),


rule llava_interp_mean:
    """Average the visual tokens of many pictures, or take a published vector."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        published=paths.published_mean,
    output:
        vector="results/llava_interp/{model}/mean.safetensors",
    log:
        "logs/llava_interp_mean/{model}.log",
    benchmark:
        "benchmarks/llava_interp_mean/{model}.tsv"
    params:
        settings=settings(folder="llava_interp.mean.folder", most="llava_interp.mean.most"),
        code=code("llava_interp_mean", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_mean.py"


rule llava_interp_ablate:
    """Describe pictures and ask after their object while visual tokens are replaced."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        vector="results/llava_interp/{model}/mean.safetensors",
    output:
        records="results/llava_interp/{model}/records/ablation.parquet",
        funnel="results/llava_interp/{model}/records/ablation.json",
    log:
        "logs/llava_interp_ablate/{model}.log",
    benchmark:
        "benchmarks/llava_interp_ablate/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            ablation="llava_interp.ablation",
            value="llava_interp.ablation.value",
            synonyms="llava_interp.synonyms",
        ),
        code=code("llava_interp_ablate", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=1440, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_ablate.py"


rule llava_interp_vqa:
    """Answer the pictures' own questions while visual tokens are replaced."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        vector="results/llava_interp/{model}/mean.safetensors",
    output:
        records="results/llava_interp/{model}/records/vqa.parquet",
        funnel="results/llava_interp/{model}/records/vqa.json",
    log:
        "logs/llava_interp_vqa/{model}.log",
    benchmark:
        "benchmarks/llava_interp_vqa/{model}.tsv"
    params:
        settings=settings(
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            ablation="llava_interp.ablation",
            value="llava_interp.ablation.value",
        ),
        code=code("llava_interp_vqa", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_vqa.py"


rule llava_interp_ablation_tables:
    """How many objects are lost without some visual tokens, beside as many others."""
    input:
        ablation="results/llava_interp/{model}/records/ablation.parquet",
        vqa="results/llava_interp/{model}/records/vqa.parquet",
        manifests=behind_visual,
    output:
        table=report(
            "results/llava_interp/{model}/ablation.csv",
            caption="../report/llava_interp_ablation.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "ablation"},
        ),
        meta="results/llava_interp/{model}/ablation.meta.json",
    log:
        "logs/llava_interp_ablation_tables/{model}.log",
    params:
        settings=settings(synonyms="llava_interp.synonyms", **judging),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_ablation_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_ablation_tables.py"


rule llava_interp_ablation_figure:
    """Objects lost over the number of replaced tokens."""
    input:
        table="results/llava_interp/{model}/ablation.csv",
    output:
        figure=report(
            "results/llava_interp/{model}/ablation_curve.svg",
            caption="../report/llava_interp_ablation.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "ablation by tokens"},
        ),
        picture="results/llava_interp/{model}/ablation_curve.png",
    log:
        "logs/llava_interp_ablation_figure/{model}.log",
    params:
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_ablation_figure"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_ablation_figure.py"
