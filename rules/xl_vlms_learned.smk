# XL-VLMs: learning to steer - a small network writes the vector for every prompt (arXiv 2508.12815).
#
# NEEDS     results/models/{model}/model.json, the datasets of xl_vlms.learned.tasks
# MAKES     results/xl_vlms/{model}/learned/{task}/states-{split}.h5     prompts under the right and the opposite answer
#           results/xl_vlms/{model}/learned/{task}/net.safetensors, training.csv, fit.csv
#           results/xl_vlms/{model}/learned/{task}/answers.parquet       under every way to steer
#           results/xl_vlms/{model}/learned_{task}.csv
# SETTINGS  xl_vlms.learned
from vlmscope.xl_vlms.learned.plan import Tasks

learned = Tasks(cfg)
learned_kinds = {**paths.kinds, "learned": learned.kinds}


wildcard_constraints:
    task=flow.one_of(learned.tasks),


rule xl_vlms_learned:
    """Learned steering beside its controls, for every configured model."""
    input:
        learned.tables(cfg.run.xl_vlms),


rule xl_vlms_learned_states:
    """States of prompts that go on with the right and with the opposite answer."""
    input:
        model="results/models/{model}/model.json",
        raw=learned.raw,
        samples=learned.samples,
    output:
        states=expand(
            "results/xl_vlms/{{model}}/learned/{{task}}/states-{split}.h5",
            split=["train", "val"],
        ),
    log:
        "logs/xl_vlms_learned_states/{model}-{task}.log",
    benchmark:
        "benchmarks/xl_vlms_learned_states/{model}-{task}.tsv"
    params:
        settings=learned.read_settings,
        code=code(
            "xl_vlms_learned_states",
            "vlmscope.datasets.{learned:task}",
            "vlmscope.models.{family:model}",
            lookup=learned_kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_learned_states.py"


rule xl_vlms_learned_train:
    """Train the network; its vectors beside others, on samples that nothing was made from."""
    input:
        trained="results/xl_vlms/{model}/learned/{task}/states-train.h5",
        tested="results/xl_vlms/{model}/learned/{task}/states-val.h5",
    output:
        net="results/xl_vlms/{model}/learned/{task}/net.safetensors",
        curve="results/xl_vlms/{model}/learned/{task}/training.csv",
        fit="results/xl_vlms/{model}/learned/{task}/fit.csv",
    log:
        "logs/xl_vlms_learned_train/{model}-{task}.log",
    params:
        settings=learned.train_settings,
        code=code("xl_vlms_learned_train"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_learned_train.py"


rule xl_vlms_learned_answers:
    """Answers of every way to steer: none, a prompt, one vector for all, the network's, the sample's own."""
    input:
        model="results/models/{model}/model.json",
        raw=learned.raw,
        samples=learned.tested,
        net="results/xl_vlms/{model}/learned/{task}/net.safetensors",
        trained="results/xl_vlms/{model}/learned/{task}/states-train.h5",
        tested="results/xl_vlms/{model}/learned/{task}/states-val.h5",
    output:
        answers="results/xl_vlms/{model}/learned/{task}/answers.parquet",
    log:
        "logs/xl_vlms_learned_answers/{model}-{task}.log",
    benchmark:
        "benchmarks/xl_vlms_learned_answers/{model}-{task}.tsv"
    params:
        settings=learned.answer_settings,
        code=code(
            "xl_vlms_learned_answers",
            "vlmscope.datasets.{learned:task}",
            "vlmscope.models.{family:model}",
            lookup=learned_kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=8),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_learned_answers.py"


rule xl_vlms_learned_pope:
    """Accuracy and F1 on POPE, by subset and way to steer."""
    input:
        answers="results/xl_vlms/{model}/learned/{task}/answers.parquet",
        samples=learned.tested,
        model="results/models/{model}/model.json",
        raw=learned.raw,
    output:
        table=report(
            "results/xl_vlms/{model}/learned_{task}.csv",
            caption="../report/xl_vlms_learned.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "learned steering: {task}"},
        ),
        meta="results/xl_vlms/{model}/learned_{task}.meta.json",
    wildcard_constraints:
        task=flow.one_of(learned.of_kind("pope")),
    log:
        "logs/xl_vlms_learned_pope/{model}-{task}.log",
    params:
        settings=learned.table_settings,
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_learned_pope"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_learned_pope.py"


rule xl_vlms_learned_safety:
    """Responses to requests of MM-SafetyBench: deference to experts, and what a guard model calls unsafe."""
    input:
        answers="results/xl_vlms/{model}/learned/{task}/answers.parquet",
        samples=learned.tested,
        model="results/models/{model}/model.json",
        raw=learned.raw,
        files=learned.files,
    output:
        table=report(
            "results/xl_vlms/{model}/learned_{task}.csv",
            caption="../report/xl_vlms_learned.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "learned steering: {task}"},
        ),
        meta="results/xl_vlms/{model}/learned_{task}.meta.json",
    wildcard_constraints:
        task=flow.one_of(learned.of_kind("safety")),
    log:
        "logs/xl_vlms_learned_safety/{model}-{task}.log",
    params:
        settings=learned.table_settings,
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_learned_safety"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_learned_safety.py"
