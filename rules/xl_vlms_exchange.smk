# XL-VLMs: feature files of the released code, in and out (docs/formats.md).
#
# NEEDS     results/xl_vlms/{model}/vectors/{set}.h5, learned/{task}/states-{split}.h5; for what is imported
#           xl_vlms.exchange.imported, forced
# MAKES     results/xl_vlms/{model}/vectors/{set}.h5, learned/{task}/states-{split}.h5     imported
#           results/xl_vlms/{model}/released/features/{set}.pth                            exported
#           results/xl_vlms/{model}/released/l2s/{task}-{split}-{wanted,opposite}.pth      exported
# SETTINGS  xl_vlms.exchange


# What is imported is not made.
ruleorder: xl_vlms_import > xl_vlms_vectors
ruleorder: xl_vlms_import_forced > xl_vlms_learned_states


rule xl_vlms_import:
    """Read the vectors of a set from a feature file of the released code."""
    input:
        file=sets.file,
    output:
        vectors="results/xl_vlms/{model}/vectors/{set}.h5",
    wildcard_constraints:
        model=sets.importing(),
    log:
        "logs/xl_vlms_import/{model}-{set}.log",
    params:
        settings=settings(position="xl_vlms.exchange.position", part="xl_vlms.exchange.part"),
        code=code("xl_vlms_import"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_import.py"


rule xl_vlms_export:
    """Write the vectors of a set as a feature file of the released code."""
    input:
        vectors="results/xl_vlms/{model}/vectors/{set}.h5",
    output:
        file="results/xl_vlms/{model}/released/features/{set}.pth",
    log:
        "logs/xl_vlms_export/{model}-{set}.log",
    params:
        family=sets.family,
        code=code("xl_vlms_export"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_export.py"


rule xl_vlms_import_forced:
    """Read states under forced answers from feature files of the learn-to-steer code."""
    input:
        wanted=sets.wanted,
        opposite=sets.opposite,
        samples=learned.samples,
    output:
        states=expand(
            "results/xl_vlms/{{model}}/learned/{{task}}/states-{split}.h5",
            split=["train", "val"],
        ),
    wildcard_constraints:
        model=sets.forcing(),
    log:
        "logs/xl_vlms_import_forced/{model}-{task}.log",
    params:
        settings=settings(task="xl_vlms.learned.tasks.{task}", family="models.{model}.family"),
        code=code("xl_vlms_import_forced"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_import_forced.py"


rule xl_vlms_export_forced:
    """Write states under forced answers as feature files of the learn-to-steer code."""
    input:
        states="results/xl_vlms/{model}/learned/{task}/states-{split}.h5",
        samples=learned.samples,
    output:
        files=expand(
            "results/xl_vlms/{{model}}/released/l2s/{{task}}-{{split}}-{side}.pth",
            side=["wanted", "opposite"],
        ),
    log:
        "logs/xl_vlms_export_forced/{model}-{task}-{split}.log",
    params:
        settings=settings(task="xl_vlms.learned.tasks.{task}", family="models.{model}.family"),
        code=code("xl_vlms_export_forced"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_export_forced.py"
