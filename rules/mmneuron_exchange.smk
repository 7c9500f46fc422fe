# MMNeuron: files of the released code, in and out (docs/formats.md).
#
# NEEDS     mmneuron.exchange.folder with data/ and results/ of the released code, for what is imported
# MAKES     results/captures/{model}/{capture}/{dataset}/00000.h5      imported counts
#           results/mmneuron/{model}/neurons.parquet, neurons.json     imported masks
#           results/mmneuron/{model}/answers/{domain}/{part}.parquet   imported answers
#           results/mmneuron/{model}/released/                         everything exported, files.json names it
# SETTINGS  mmneuron.exchange
from vlmscope.mmneuron.exchange.plan import Released

released = Released(cfg)


# What is imported is not made.
ruleorder: mmneuron_import_counts > capture_shard
ruleorder: mmneuron_import_masks > mmneuron_identify
ruleorder: mmneuron_import_answers > mmneuron_generate
ruleorder: mmneuron_import_answers > mmneuron_generate_masked


rule mmneuron_import_counts:
    """Read a domain's counts from an activation file of the released code."""
    input:
        log=released.log,
        model="results/models/{model}/model.json",
    output:
        shard="results/captures/{model}/{capture}/{dataset}/{shard}.h5",
    wildcard_constraints:
        model=flow.one_of(released.models("counts")),
        capture=flow.one_of([cfg.mmneuron.capture]),
        shard="00000",
    log:
        "logs/mmneuron_import_counts/{model}-{capture}-{dataset}-{shard}.log",
    params:
        code=code("mmneuron_import_counts", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_import_counts.py"


rule mmneuron_import_masks:
    """Read the neurons of all modules from mask files of the released code."""
    input:
        masks=released.masks,
        counts=paths.counts("{model}"),
    output:
        neurons="results/mmneuron/{model}/neurons.parquet",
        summary="results/mmneuron/{model}/neurons.json",
    wildcard_constraints:
        model=flow.one_of(released.models("masks")),
    log:
        "logs/mmneuron_import_masks/{model}.log",
    params:
        settings=settings(domains="mmneuron.domains", family="models.{model}.family"),
        code=code("mmneuron_import_masks"),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_import_masks.py"


rule mmneuron_import_answers:
    """Read a domain's answers from answer files of the released code."""
    input:
        answers=released.answers,
        samples="results/data/{domain}/val.parquet",
    output:
        answers="results/mmneuron/{model}/answers/{domain}/{part}.parquet",
    wildcard_constraints:
        model=flow.one_of(released.models("answers")),
    log:
        "logs/mmneuron_import_answers/{model}-{domain}-{part}.log",
    params:
        conditions=released.conditions,
        code=code("mmneuron_import_answers"),
    threads: 1
    resources:
        **cpu(mem_gb=2),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_import_answers.py"


rule mmneuron_export:
    """Write counts, masks and answers of a model as the released code does."""
    input:
        counts=paths.counts("{model}"),
        neurons="results/mmneuron/{model}/neurons.parquet",
        summary="results/mmneuron/{model}/neurons.json",
        untouched=expand("results/mmneuron/{{model}}/answers/{domain}/none.parquet", domain=cfg.mmneuron.domains),
        masked=expand("results/mmneuron/{{model}}/answers/{domain}/masked.parquet", domain=cfg.mmneuron.domains),
        samples=expand("results/data/{domain}/val.parquet", domain=cfg.mmneuron.domains),
    output:
        files="results/mmneuron/{model}/released/files.json",
    log:
        "logs/mmneuron_export/{model}.log",
    params:
        settings=settings(
            domains="mmneuron.domains", family="models.{model}.family", snapshot="mmneuron.exchange.snapshot"
        ),
        conditions=paths.condition_modules,
        code=code("mmneuron_export"),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_export.py"
