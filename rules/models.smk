# Checkpoints: a folder in the repository, a Hugging Face id, an official release, a training recipe, or a fine-tune of
# another model -> manifest.
#
# NEEDS     weights/ (folder), the network (hub), CPU minutes (train), or base and phrases (finetune)
# MAKES     results/models/{model}/model.json              folder, family, revision, fingerprint
#           results/models/{finetune}/finetuned.json       checkpoints below finetuned/, a folder for each kept step
# SETTINGS  models, judges, finetunes


rule model_fetch:
    """Download a checkpoint at its revision: weights, configuration and tokenizer, nothing executable."""
    output:
        "results/models/{model}/hub.json",
    wildcard_constraints:
        model=flow.one_of(paths.checkpoints("hub", "official")),
    log:
        "logs/model_fetch/{model}.log",
    params:
        settings=paths.hub_settings,
        code=code("model_fetch"),
        folder="results/models/{model}/hub",
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=720),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/model_fetch.py"


rule model_convert:
    """Turn the weights of an official release, pickled shards under its authors' names, into safetensors that load."""
    input:
        "results/models/{model}/hub.json",
    output:
        "results/models/{model}/converted.json",
    wildcard_constraints:
        model=flow.one_of(paths.checkpoints("official")),
    log:
        "logs/model_convert/{model}.log",
    params:
        settings=settings(family="models.{model}.family"),
        code=code(
            "model_convert",
            "vlmscope.models.{family:model}",
            "vlmscope.models.convert.{family:model}",
            "vlmscope.models.convert.plain",
            lookup=paths.kinds,
        ),
        folder="results/models/{model}/converted",
    threads: 1
    resources:
        **cpu(mem_gb=16, minutes=120),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/model_convert.py"


rule model_train:
    """Train an embedded model from nothing (the shipped weights came from these recipes)."""
    input:
        paths.trained_before,
    output:
        "results/models/{model}/trained/model.safetensors",
    wildcard_constraints:
        model=flow.one_of(layout.RECIPES),
    log:
        "logs/model_train/{model}.log",
    benchmark:
        "benchmarks/model_train/{model}.tsv"
    params:
        code=code(
            "model_train",
            "vlmscope.models.tiny.bodies.{recipe:model}",
            "vlmscope.models.{recipe:model}",
            lookup=paths.kinds,
        ),
    threads: 1
    resources:
        **cpu(mem_gb=6, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/model_train.py"


rule model_finetune:
    """Go on training a model on captions of one kind, and keep checkpoints on the way."""
    input:
        unpack(paths.finetune_files),
    output:
        "results/models/{finetune}/finetuned.json",
    wildcard_constraints:
        finetune=flow.one_of(cfg.finetunes),
    log:
        "logs/model_finetune/{finetune}.log",
    benchmark:
        "benchmarks/model_finetune/{finetune}.tsv"
    params:
        settings=paths.finetune_settings,
        code=code(
            "model_finetune",
            "vlmscope.datasets.{learnt:finetune}",
            "vlmscope.models.{taught:finetune}",
            lookup=paths.kinds,
        ),
        folder="results/models/{finetune}/finetuned",
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64, batch=4),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/model_finetune.py"


rule model_resolve:
    """Find the checkpoint's folder and take its fingerprint."""
    input:
        paths.model_files,
    output:
        "results/models/{model}/model.json",
    log:
        "logs/model_resolve/{model}.log",
    params:
        settings=settings(
            family="models.{model}.family",
            checkpoint="models.{model}.checkpoint",
            revision="models.{model}.revision",
            dtype="models.{model}.dtype",
            quantize="models.{model}.quantize",
            attention="models.{model}.attention",
        ),
        code=code("model_resolve"),
        folder=paths.model_folder,
    threads: 1
    resources:
        **cpu(mem_gb=2, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/model_resolve.py"
