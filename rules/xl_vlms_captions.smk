# XL-VLMs: captions under steering towards a style (arXiv 2501.03012, table 3).
#
# NEEDS     results/models/{model}/model.json, results/xl_vlms/{model}/steering/{vector}.safetensors, pictures to describe
# MAKES     results/xl_vlms/{model}/steered/captions.parquet         captions under every vector, strength and control
#           results/xl_vlms/{model}/steer_captions.csv, .png, .svg
#           results/xl_vlms/{model}/caption_examples.parquet, steer_caption_words.csv
# SETTINGS  xl_vlms.captions
captioned_steering = f"results/data/{cfg.xl_vlms.captions.dataset}/{cfg.xl_vlms.captions.split}.parquet"


rule xl_vlms_captions:
    """Captions under steering, for every configured model."""
    input:
        expand(
            "results/xl_vlms/{model}/{file}",
            model=cfg.run.xl_vlms,
            file=["steer_captions.csv", "steer_captions.png"],
        ),


rule xl_vlms_captions_write:
    """Describe pictures without steering, under every vector of a style, and under its controls."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.xl_vlms.captions.dataset}/raw.json",
        samples=captioned_steering,
        steering=expand("results/xl_vlms/{{model}}/steering/{vector}.safetensors", vector=cfg.xl_vlms.captions.styles),
    output:
        rows="results/xl_vlms/{model}/steered/captions.parquet",
    log:
        "logs/xl_vlms_captions_write/{model}.log",
    benchmark:
        "benchmarks/xl_vlms_captions_write/{model}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.xl_vlms.captions.dataset}.kind",
            vectors="xl_vlms.vectors",
            captions="xl_vlms.captions",
        ),
        code=code(
            "xl_vlms_captions_write",
            f"vlmscope.datasets.{cfg.datasets[cfg.xl_vlms.captions.dataset].kind}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=480, batch=32),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_captions_write.py"


rule xl_vlms_captions_tables:
    """Scores, style and changes of captions under steering, with intervals, a figure and examples."""
    input:
        rows="results/xl_vlms/{model}/steered/captions.parquet",
        samples=captioned_steering,
        manifests=[
            "results/models/{model}/model.json",
            f"results/data/{cfg.xl_vlms.captions.dataset}/raw.json",
        ],
    output:
        table=report(
            "results/xl_vlms/{model}/steer_captions.csv",
            caption="../report/xl_vlms_captions.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "captions under steering"},
        ),
        meta="results/xl_vlms/{model}/steer_captions.meta.json",
        words="results/xl_vlms/{model}/steer_caption_words.csv",
        examples="results/xl_vlms/{model}/caption_examples.parquet",
        figures=expand("results/xl_vlms/{{model}}/steer_captions.{kind}", kind=["png", "svg"]),
    log:
        "logs/xl_vlms_captions_tables/{model}.log",
    params:
        settings=settings(captions="xl_vlms.captions", title="models.{model}.label"),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_captions_tables"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_captions_tables.py"
