# MM_Neurons: captions and their nouns.
#
# NEEDS     results/models/{model}/model.json, the capture named by mm_neurons.capture, its sample table
# MAKES     results/mm_neurons/{model}/captions.parquet   captions as they were written
#           results/mm_neurons/{model}/nouns.parquet      their nouns, and where the tokens of these were written
#           results/mm_neurons/{model}/noun_counts.csv    how many there are, and how many the released code mistakes
# SETTINGS  mm_neurons.nouns

# What the companion of every table (TABLE.meta.json) tells of model and data.
manifests = ["results/models/{model}/model.json", f"results/data/{cfg.mm_neurons.dataset}/raw.json"]
about = settings(scale="scale", label="models.{model}.label")


rule mm_neurons_tables:
    """Tables and figures of this system, for every configured model."""
    input:
        expand(
            "results/mm_neurons/{model}/{file}",
            model=cfg.run.mm_neurons,
            file=[
                "noun_counts.csv",
                "table_semantic.csv",
                "table_region_invariance.csv",
                "table_cross_image.csv",
                "table_specificity.csv",
                "table_image_sensitivity.csv",
                "table_hook_compare.csv",
                "table_perturb.csv",
                "table_edit.csv",
                "table_runtime.csv",
                "fig_layers.svg",
                "fig_measures.svg",
            ],
        ),


rule mm_neurons_captions:
    """Read what a model wrote of every picture from the capture."""
    input:
        model="results/models/{model}/model.json",
        index=paths.caption_index,
        samples=paths.captioned,
    output:
        captions="results/mm_neurons/{model}/captions.parquet",
    log:
        "logs/mm_neurons_captions/{model}.log",
    params:
        code=code("mm_neurons_captions"),
    group:
        "captions"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_captions.py"


rule mm_neurons_nouns:
    """Find the nouns of every caption and the position of their tokens."""
    input:
        model="results/models/{model}/model.json",
        captions="results/mm_neurons/{model}/captions.parquet",
        samples=paths.captioned,
        lexicon=[cfg.mm_neurons.nouns.lexicon] if cfg.mm_neurons.nouns.lexicon else [],
    output:
        nouns="results/mm_neurons/{model}/nouns.parquet",
        counts="results/mm_neurons/{model}/noun_counts.csv",
    log:
        "logs/mm_neurons_nouns/{model}.log",
    params:
        settings=settings(nouns="mm_neurons.nouns"),
        code=code("mm_neurons_nouns"),
    group:
        "captions"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_nouns.py"
