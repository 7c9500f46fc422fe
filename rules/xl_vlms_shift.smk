# XL-VLMs: how concepts shift when a model is fine-tuned (arXiv 2501.03012, figures 3 to 9 and 14 to 21).
#
# NEEDS     results/xl_vlms/{model}/vectors/{set}.h5 of both models, results/xl_vlms/{model}/vocabulary.h5
# MAKES     results/xl_vlms/{model}/shifts/{tuned}-{set}.json, .h5     one comparison: words, pictures, all sweeps
#           results/xl_vlms/{model}/shift.csv                          held-out recovery beside controls
#           results/xl_vlms/{model}/shift_{t_overlap,iterations,alpha,keywords,k,layers,correlation}.csv, .png
#           results/xl_vlms/{model}/released/analysis/*.pth            comparisons as the released code writes them
# SETTINGS  xl_vlms.shift, xl_vlms.dictionaries.words
from vlmscope.xl_vlms.shift.plan import FIGURES, TABLES, Shifts

shifts = Shifts(cfg)


rule xl_vlms_shift:
    """Concept shift of every configured model that others are compared with."""
    input:
        expand("results/xl_vlms/{model}/shift.csv", model=shifts.headline),


rule xl_vlms_shift_compare:
    """Compare the concepts of two models over one set of vectors."""
    input:
        before="results/xl_vlms/{model}/vectors/{set}.h5",
        after="results/xl_vlms/{tuned}/vectors/{set}.h5",
        steps=shifts.steps,
        words="results/xl_vlms/{model}/vocabulary.h5",
    output:
        shift="results/xl_vlms/{model}/shifts/{tuned}-{set}.json",
        vectors="results/xl_vlms/{model}/shifts/{tuned}-{set}.h5",
    wildcard_constraints:
        model=flow.one_of(shifts.originals()),
        tuned=flow.one_of(shifts.tuned()),
    log:
        "logs/xl_vlms_shift_compare/{model}-{tuned}-{set}.log",
    benchmark:
        "benchmarks/xl_vlms_shift_compare/{model}-{tuned}-{set}.tsv"
    params:
        settings=shifts.settings,
        about=shifts.about,
        code=code("xl_vlms_shift_compare"),
    threads: 1
    resources:
        **cpu(mem_gb=1.5 if cfg.scale == "tiny" else 16, minutes=240),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_shift_compare.py"


rule xl_vlms_shift_tables:
    """Gather the tables of concept shift of a model, and draw them."""
    input:
        compared=shifts.compared,
        manifests="results/models/{model}/model.json",
    output:
        **{name: f"results/xl_vlms/{{model}}/{name}.csv" for name in TABLES if name != "shift"},
        shift=report(
            "results/xl_vlms/{model}/shift.csv",
            caption="../report/xl_vlms_shift.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "concept shift, held out"},
        ),
        figures=expand("results/xl_vlms/{{model}}/{name}.png", name=FIGURES),
        meta="results/xl_vlms/{model}/shift.meta.json",
    wildcard_constraints:
        model=flow.one_of(shifts.originals()),
    log:
        "logs/xl_vlms_shift_tables/{model}.log",
    params:
        about=settings(scale="scale", label="models.{model}.label"),
        settings=shifts.settings,
        code=code("xl_vlms_shift_tables"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_shift_tables.py"


rule xl_vlms_shift_export:
    """Write a comparison of two models as the released code does."""
    input:
        shift="results/xl_vlms/{model}/shifts/{tuned}-{set}.json",
        vectors="results/xl_vlms/{model}/shifts/{tuned}-{set}.h5",
    output:
        released="results/xl_vlms/{model}/released/analysis/analyse_clusters_{tuned}-{set}.pth",
    wildcard_constraints:
        model=flow.one_of(shifts.originals()),
        tuned=flow.one_of(shifts.tuned()),
    log:
        "logs/xl_vlms_shift_export/{model}-{tuned}-{set}.log",
    params:
        code=code("xl_vlms_shift_export"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_shift_export.py"


# What is imported is not made.
ruleorder: xl_vlms_shift_import > xl_vlms_shift_compare


rule xl_vlms_shift_import:
    """Read a comparison of two models from a file of the released code."""
    input:
        shifts.file,
    output:
        "results/xl_vlms/{comparison}.json",
    wildcard_constraints:
        comparison=flow.one_of(shifts.importing()),
    log:
        "logs/xl_vlms_shift_import/{comparison}.log",
    params:
        settings=shifts.settings,
        about=shifts.about_imported,
        code=code("xl_vlms_shift_import"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_shift_import.py"
