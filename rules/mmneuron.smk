# MMNeuron: domain-specific neurons (arXiv 2406.11193).
#
# NEEDS     the capture named by mmneuron.capture, sample tables of split val
# MAKES     results/mmneuron/{model}/neurons.parquet               neuron sets of all modules, neurons.json in short
#           results/mmneuron/{model}/answers/{domain}/{part}.parquet, scores/{part}.parquet
#           results/mmneuron/{model}/table2.csv, table2_long.csv, table2.meta.json (the name: mmneuron.tables)
# SETTINGS  mmneuron
from vlmscope.mmneuron.demands import Demands
from vlmscope.mmneuron.portions import Portions

portions = Portions(cfg)
named = cfg.mmneuron.tables
demands = Demands(cfg, portions.domains)


rule mmneuron_tables:
    """Tables of neurons and of their effects, for every configured model."""
    input:
        expand(
            "results/mmneuron/{model}/{file}.csv",
            model=cfg.run.mmneuron,
            file=[named.neurons, named.accuracy, "effects", "dose", "stability"],
        ),


rule mmneuron_identify:
    """Neurons whose firing is concentrated in few domains, all modules of a model."""
    input:
        counts=paths.counts("{model}"),
    output:
        neurons="results/mmneuron/{model}/neurons.parquet",
        summary="results/mmneuron/{model}/neurons.json",
    log:
        "logs/mmneuron_identify/{model}.log",
    params:
        settings=settings(identify="mmneuron.identify", domains="mmneuron.domains", family="models.{model}.family"),
        code=code("mmneuron_identify"),
    threads: 1
    resources:
        **cpu(mem_gb=2),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_identify.py"


rule mmneuron_generate:
    """Answers of the untouched model."""
    input:
        model="results/models/{model}/model.json",
        raw="results/data/{domain}/raw.json",
        samples="results/data/{domain}/val.parquet",
    output:
        answers="results/mmneuron/{model}/answers/{domain}/none.parquet",
    log:
        "logs/mmneuron_generate/{model}-{domain}.log",
    benchmark:
        "benchmarks/mmneuron_generate/{model}-{domain}.tsv"
    params:
        settings=settings(kind="datasets.{domain}.kind", generate="mmneuron.generate"),
        code=code(
            "mmneuron_generate",
            "vlmscope.datasets.{kind:domain}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.generate),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_generate.py"


rule mmneuron_generate_masked:
    """Answers with each domain's own neurons set to zero, all conditions in one job."""
    input:
        model="results/models/{model}/model.json",
        raws=portions.raws,
        samples=portions.samples,
        neurons="results/mmneuron/{model}/neurons.parquet",
    output:
        answers=expand("results/mmneuron/{{model}}/answers/{domain}/masked.parquet", domain=portions.each),
    log:
        f"logs/mmneuron_generate_masked/{portions.job}.log",
    benchmark:
        f"benchmarks/mmneuron_generate_masked/{portions.job}.tsv"
    params:
        settings=settings(generate="mmneuron.generate", domains="mmneuron.domains"),
        conditions=paths.masked_conditions,
        portion=portions.kinds,
        code=code(
            "mmneuron_generate_masked",
            "vlmscope.models.{family:model}",
            *portions.own_readers,
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.generate_masked),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_generate_masked.py"


rule mmneuron_evaluate:
    """One score per answer, by each domain's own metrics."""
    input:
        samples=expand("results/data/{domain}/val.parquet", domain=cfg.mmneuron.domains),
        answers=expand("results/mmneuron/{{model}}/answers/{domain}/{{part}}.parquet", domain=cfg.mmneuron.domains),
        judge=paths.judge,
    output:
        scores="results/mmneuron/{model}/scores/{part}.parquet",
    log:
        "logs/mmneuron_evaluate/{model}-{part}.log",
    params:
        settings=settings(
            domains="mmneuron.domains",
            anls_threshold="mmneuron.evaluate.anls_threshold",
            official_rows="mmneuron.generate.official_rows",
        ),
        kinds=paths.domain_kinds,
        code=code("mmneuron_evaluate"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=judge_gb, minutes=60),
    conda:
        judge_env
    script:
        "../scripts/mmneuron_evaluate.py"


rule mmneuron_table2:
    """Accuracy under deactivation of each domain's own neurons (mmneuron.md 7.2)."""
    input:
        model="results/models/{model}/model.json",
        scores=expand("results/mmneuron/{{model}}/scores/{part}.parquet", part=["none", "masked"]),
        summary="results/mmneuron/{model}/neurons.json",
        raws=expand("results/data/{domain}/raw.json", domain=cfg.mmneuron.domains),
    output:
        table=report(
            f"results/mmneuron/{{model}}/{named.accuracy}.csv",
            caption="../report/table2.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "table 2"},
        ),
        long=f"results/mmneuron/{{model}}/{named.accuracy}_long.csv",
        meta=f"results/mmneuron/{{model}}/{named.accuracy}.meta.json",
    log:
        "logs/mmneuron_table2/{model}.log",
    params:
        settings=settings(
            scale="scale",
            label="models.{model}.label",
            table="mmneuron.tables.accuracy",
            columns="mmneuron.columns",
            generate="mmneuron.generate",
            identify="mmneuron.identify",
            evaluate="mmneuron.evaluate",
        ),
        conditions=paths.conditions,
        data=paths.table_data,
        code=code("mmneuron_table2"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_table2.py"
