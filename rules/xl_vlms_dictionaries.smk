# XL-VLMs: concept dictionaries (arXiv 2406.08074).
#
# NEEDS     results/models/{model}/model.json, results/xl_vlms/{model}/vectors/{set}.h5, the pictures and captions behind
# MAKES     results/xl_vlms/{model}/vocabulary.h5             what turns states into words
#           results/xl_vlms/{model}/dictionaries/{set}.h5     all dictionaries of a set, with words and pictures
#           results/xl_vlms/{model}/dictionaries.csv, stability.csv, chosen_k.csv, overlap.csv
#           results/xl_vlms/{model}/scored.parquet            words against pictures and captions, one by one
#           results/xl_vlms/{model}/cox_table1.csv, cox_table2_overlap.csv, cox_fig3.{csv,png}
#           results/xl_vlms/{model}/cox_layers.{csv,png}, cox_recon.{csv,png}
#           results/xl_vlms/{model}/concept_classes.csv, faithful.csv
#           results/xl_vlms/across_models.csv
#           results/xl_vlms/{model}/released/analysis/{set}-{method}.pth   as the released code writes them
#           results/xl_vlms/{model}/dictionaries/imported/{set}.h5         of the released code
# SETTINGS  xl_vlms.dictionaries
from vlmscope.xl_vlms.dictionaries.plan import Plan

concepts = Plan(cfg)
cox_files = ["cox_table1.csv", "cox_table2_overlap.csv", "cox_fig3.png", "cox_layers.png", "cox_recon.png"]
concept_files = ["dictionaries.csv", "stability.csv", "chosen_k.csv", "concept_classes.csv", "faithful.csv"]


rule xl_vlms_dictionaries:
    """Concept dictionaries, for every configured model."""
    input:
        expand("results/xl_vlms/{model}/{file}", model=cfg.run.xl_vlms, file=cox_files + concept_files),
        "results/xl_vlms/across_models.csv",
        concepts.importing(),


rule xl_vlms_vocabulary:
    """Write the unembedding of a model and the text of every token."""
    input:
        model="results/models/{model}/model.json",
    output:
        vocabulary="results/xl_vlms/{model}/vocabulary.h5",
    log:
        "logs/xl_vlms_vocabulary/{model}.log",
    params:
        code=code("xl_vlms_vocabulary", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=1.5 if cfg.scale == "tiny" else 16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_vocabulary.py"


rule xl_vlms_decompose:
    """Make all dictionaries of a model, and tell what they are worth."""
    input:
        train=concepts.train,
        test=concepts.test,
        vocabulary="results/xl_vlms/{model}/vocabulary.h5",
    output:
        dictionaries=expand("results/xl_vlms/{{model}}/dictionaries/{set}.h5", set=cfg.xl_vlms.dictionaries.sets),
        table=report(
            "results/xl_vlms/{model}/dictionaries.csv",
            caption="../report/xl_vlms_dictionaries.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "dictionaries"},
        ),
        recon="results/xl_vlms/{model}/cox_recon.csv",
        chosen="results/xl_vlms/{model}/chosen_k.csv",
        stability="results/xl_vlms/{model}/stability.csv",
        overlap="results/xl_vlms/{model}/overlap.csv",
    log:
        "logs/xl_vlms_decompose/{model}.log",
    benchmark:
        "benchmarks/xl_vlms_decompose/{model}.tsv"
    params:
        settings=settings(
            module="xl_vlms.dictionaries.module",
            methods="xl_vlms.dictionaries.methods",
            main="xl_vlms.dictionaries.main",
            k="xl_vlms.dictionaries.k",
            sweep="xl_vlms.dictionaries.sweep",
            alpha="xl_vlms.dictionaries.alpha",
            max_iter="xl_vlms.dictionaries.max_iter",
            seed="xl_vlms.dictionaries.seed",
            seeds="xl_vlms.dictionaries.seeds",
            subsamples="xl_vlms.dictionaries.subsamples",
            part="xl_vlms.dictionaries.part",
            images="xl_vlms.dictionaries.images",
            activations="xl_vlms.dictionaries.activations",
            draws="xl_vlms.dictionaries.draws",
            directions="xl_vlms.dictionaries.directions",
            bootstrap="xl_vlms.dictionaries.bootstrap",
            words="xl_vlms.dictionaries.words",
            sets="xl_vlms.dictionaries.sets",
        ),
        code=code("xl_vlms_decompose"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=2 if cfg.scale == "tiny" else 16, minutes=240),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_decompose.py"


rule xl_vlms_score:
    """Hold the words of concepts against pictures and captions."""
    input:
        dictionaries=concepts.made,
        vocabulary="results/xl_vlms/{model}/vocabulary.h5",
        clip=concepts.clip,
        raw=concepts.raw,
        samples=concepts.samples,
        scorer=concepts.scorer,
    output:
        scored="results/xl_vlms/{model}/scored.parquet",
    log:
        "logs/xl_vlms_score/{model}.log",
    benchmark:
        "benchmarks/xl_vlms_score/{model}.tsv"
    params:
        settings=settings(
            scores="xl_vlms.dictionaries.scores",
            words="xl_vlms.dictionaries.words",
            main="xl_vlms.dictionaries.main",
            directions="xl_vlms.dictionaries.directions",
            draws="xl_vlms.dictionaries.draws",
            seed="xl_vlms.dictionaries.seed",
        ),
        code=code("xl_vlms_score", "vlmscope.models.clip"),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, mem_gb=16, batch=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_score.py"


rule xl_vlms_cox:
    """Write the paper's tables and figures about concept dictionaries."""
    input:
        scored="results/xl_vlms/{model}/scored.parquet",
        diagnosed="results/xl_vlms/{model}/dictionaries.csv",
        overlaps="results/xl_vlms/{model}/overlap.csv",
        recon="results/xl_vlms/{model}/cox_recon.csv",
        dictionaries=concepts.made,
    output:
        table1=report(
            "results/xl_vlms/{model}/cox_table1.csv",
            caption="../report/xl_vlms_cox.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "words of concepts, table 1"},
        ),
        overlap="results/xl_vlms/{model}/cox_table2_overlap.csv",
        fig3="results/xl_vlms/{model}/cox_fig3.csv",
        layers="results/xl_vlms/{model}/cox_layers.csv",
        fig3_picture="results/xl_vlms/{model}/cox_fig3.png",
        layers_picture=report(
            "results/xl_vlms/{model}/cox_layers.png",
            caption="../report/xl_vlms_cox.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "words of concepts by layer"},
        ),
        recon_picture="results/xl_vlms/{model}/cox_recon.png",
    log:
        "logs/xl_vlms_cox/{model}.log",
    params:
        settings=settings(
            main="xl_vlms.dictionaries.main",
            bootstrap="xl_vlms.dictionaries.bootstrap",
            seed="xl_vlms.dictionaries.seed",
        ),
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("xl_vlms_cox"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_cox.py"


rule xl_vlms_concepts:
    """Tell whether concepts follow what pictures show, and whether they carry the token."""
    input:
        dictionaries=concepts.made,
        train=concepts.train,
        test=concepts.test,
        vocabulary="results/xl_vlms/{model}/vocabulary.h5",
        raw=concepts.raw,
    output:
        classes=report(
            "results/xl_vlms/{model}/concept_classes.csv",
            caption="../report/xl_vlms_concepts.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "concepts and what pictures show"},
        ),
        faithful="results/xl_vlms/{model}/faithful.csv",
    log:
        "logs/xl_vlms_concepts/{model}.log",
    params:
        settings=settings(
            draws="xl_vlms.dictionaries.draws",
            bootstrap="xl_vlms.dictionaries.bootstrap",
            seed="xl_vlms.dictionaries.seed",
            directions="xl_vlms.dictionaries.directions",
        ),
        code=code("xl_vlms_concepts", f"vlmscope.datasets.{cfg.datasets[concepts.dataset].kind}"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_concepts.py"


rule xl_vlms_across:
    """Compare the concepts of all models over the pictures that they share."""
    input:
        dictionaries=concepts.of_models("dictionaries"),
        vectors=concepts.of_models("vectors"),
    output:
        table=report(
            "results/xl_vlms/across_models.csv",
            caption="../report/xl_vlms_across.rst",
            category="XL-VLMs",
            labels={"model": "all", "result": "concepts across models"},
        ),
    log:
        "logs/xl_vlms_across/all.log",
    params:
        settings=settings(
            main="xl_vlms.dictionaries.main",
            shuffles="xl_vlms.dictionaries.shuffles",
            resamples="xl_vlms.dictionaries.resamples",
            seed="xl_vlms.dictionaries.seed",
            models="run.xl_vlms",
        ),
        code=code("xl_vlms_across"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_across.py"


rule xl_vlms_export_dictionary:
    """Write a main dictionary as an analysis file of the released code."""
    input:
        dictionaries="results/xl_vlms/{model}/dictionaries/{set}.h5",
    output:
        file="results/xl_vlms/{model}/released/analysis/{set}-{method}.pth",
    wildcard_constraints:
        set=flow.one_of(cfg.xl_vlms.dictionaries.sets),
        method=flow.one_of(cfg.xl_vlms.dictionaries.methods),
    log:
        "logs/xl_vlms_export_dictionary/{model}-{set}-{method}.log",
    params:
        code=code("xl_vlms_export_dictionary"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_export_dictionary.py"


rule xl_vlms_import_dictionary:
    """Read a dictionary from an analysis file of the released code."""
    input:
        file=concepts.imported,
        train="results/xl_vlms/{model}/vectors/{set}.h5",
        test="results/xl_vlms/{model}/vectors/{set}-test.h5",
    output:
        dictionaries="results/xl_vlms/{model}/dictionaries/imported/{set}.h5",
    log:
        "logs/xl_vlms_import_dictionary/{model}-{set}.log",
    params:
        settings=settings(module="xl_vlms.dictionaries.module", images="xl_vlms.dictionaries.images"),
        code=code("xl_vlms_import_dictionary"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_import_dictionary.py"
