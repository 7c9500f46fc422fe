# XL-VLMs: steering of answers (arXiv 2501.03012, tables 1, 2, 4, figures 11, 12, 25 to 35).
#
# NEEDS     results/models/{model}/model.json, results/xl_vlms/{model}/vectors/{set}.h5, questions of xl_vlms.steer
# MAKES     results/xl_vlms/{model}/steering/{vector}.safetensors      steering vectors, every kept block in one file
#           results/xl_vlms/{model}/released/steering/*.pth            the same as the released code writes them
#           results/xl_vlms/{model}/steered/answers.parquet            every answer under every condition
#           results/xl_vlms/{model}/steer_effects.csv, steer_type.csv, steer_targeted.csv, steer_extra.csv
#           results/xl_vlms/{model}/ablation_{n,layer,alpha,tokens}.{csv,png}, directions.{csv,png}
#           results/xl_vlms/{model}/separability.{csv,png}, steer_alpha.{svg,png}
#           results/xl_vlms/steer_models.csv
# SETTINGS  xl_vlms.vectors, xl_vlms.steer
from vlmscope.xl_vlms.steer.plan import ABLATIONS, Steering

steering = Steering(cfg)
steered_questions = f"results/data/{cfg.xl_vlms.steer.dataset}/{cfg.xl_vlms.steer.split}.parquet"


rule xl_vlms_steer:
    """Steering of answers, for every configured model."""
    input:
        expand(
            "results/xl_vlms/{model}/{file}",
            model=cfg.run.xl_vlms,
            file=["steer_type.csv", "steer_targeted.csv", "steer_extra.csv", "steer_alpha.png", "separability.csv"],
        ),
        steering.ablated(),
        "results/xl_vlms/steer_models.csv",


rule xl_vlms_steer_vectors:
    """Make all steering vectors of a model."""
    input:
        sets=steering.made_from,
        tables=steering.asked,
        released=steering.released,
    output:
        vectors=expand("results/xl_vlms/{{model}}/steering/{vector}.safetensors", vector=cfg.xl_vlms.vectors),
    log:
        "logs/xl_vlms_steer_vectors/{model}.log",
    params:
        settings=steering.making,
        code=code("xl_vlms_steer_vectors"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_steer_vectors.py"


rule xl_vlms_steer_export:
    """Write a model's steering vectors as files of the released code."""
    input:
        model="results/models/{model}/model.json",
        vectors=steering.files,
    output:
        folder=directory("results/xl_vlms/{model}/released/steering"),
    log:
        "logs/xl_vlms_steer_export/{model}.log",
    params:
        settings=settings(vectors="xl_vlms.vectors"),
        code=code("xl_vlms_steer_export"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_steer_export.py"


rule xl_vlms_steer_answers:
    """Answer questions without steering, under every vector and strength, and under controls."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.xl_vlms.steer.dataset}/raw.json",
        samples=steered_questions,
        vectors=steering.files,
        paired=steering.paired,
    output:
        rows="results/xl_vlms/{model}/steered/answers.parquet",
    log:
        "logs/xl_vlms_steer_answers/{model}.log",
    benchmark:
        "benchmarks/xl_vlms_steer_answers/{model}.tsv"
    params:
        settings=settings(kind=f"datasets.{cfg.xl_vlms.steer.dataset}.kind"),
        trying=steering.trying,
        code=code(
            "xl_vlms_steer_answers",
            f"vlmscope.datasets.{cfg.datasets[cfg.xl_vlms.steer.dataset].kind}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=480, batch=32),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_steer_answers.py"


rule xl_vlms_steer_tables:
    """Accuracies and counts of answers under steering, beside random directions and published numbers."""
    input:
        rows="results/xl_vlms/{model}/steered/answers.parquet",
        samples=steered_questions,
        numbered=steering.numbered,
        manifests=["results/models/{model}/model.json", f"results/data/{cfg.xl_vlms.steer.dataset}/raw.json"],
    output:
        effects="results/xl_vlms/{model}/steer_effects.csv",
        type="results/xl_vlms/{model}/steer_type.csv",
        targeted=report(
            "results/xl_vlms/{model}/steer_targeted.csv",
            caption="../report/xl_vlms_steer.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "targeted steering"},
        ),
        extra="results/xl_vlms/{model}/steer_extra.csv",
        meta="results/xl_vlms/{model}/steer_targeted.meta.json",
        figures=expand("results/xl_vlms/{{model}}/steer_alpha.{kind}", kind=["png", "svg"]),
    log:
        "logs/xl_vlms_steer_tables/{model}.log",
    params:
        settings=settings(vectors="xl_vlms.vectors", bootstrap="xl_vlms.steer.bootstrap", seed="xl_vlms.steer.seed"),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_steer_tables"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_steer_tables.py"


rule xl_vlms_steer_sweep:
    """What matters for steering: samples, layer, strength, positions; and which concepts lead to one answer."""
    input:
        rows="results/xl_vlms/{model}/steered/answers.parquet",
        effects="results/xl_vlms/{model}/steer_effects.csv",
    output:
        tables=expand("results/xl_vlms/{{model}}/ablation_{what}.csv", what=ABLATIONS),
        figures=expand("results/xl_vlms/{{model}}/ablation_{what}.png", what=ABLATIONS),
        directions="results/xl_vlms/{model}/directions.csv",
        bars="results/xl_vlms/{model}/directions.png",
    log:
        "logs/xl_vlms_steer_sweep/{model}.log",
    params:
        settings=settings(directions="xl_vlms.steer.directions", seed="xl_vlms.steer.seed"),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_steer_sweep"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_steer_sweep.py"


rule xl_vlms_steer_separability:
    """How far states of different answers lie apart, layer by layer."""
    input:
        sets=steering.separated,
        tables=steering.separated_tables,
    output:
        table="results/xl_vlms/{model}/separability.csv",
        figure="results/xl_vlms/{model}/separability.png",
    log:
        "logs/xl_vlms_steer_separability/{model}.log",
    params:
        settings=settings(
            separability="xl_vlms.steer.separability",
            bootstrap="xl_vlms.steer.bootstrap",
            seed="xl_vlms.steer.seed",
        ),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_steer_separability"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_steer_separability.py"


rule xl_vlms_steer_models:
    """Vectors that repeat the paper's, over all configured models."""
    input:
        tables=expand("results/xl_vlms/{model}/steer_targeted.csv", model=cfg.run.xl_vlms),
    output:
        table="results/xl_vlms/steer_models.csv",
    log:
        "logs/xl_vlms_steer_models/all.log",
    params:
        settings=settings(vectors="xl_vlms.vectors"),
        code=code("xl_vlms_steer_models"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_steer_models.py"
