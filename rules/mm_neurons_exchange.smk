# MM_Neurons: files of the released code, in and out (docs/formats.md).
#
# NEEDS     results/mm_neurons/{model}/ as the other steps make it; for what is imported mm_neurons.exchange.imported
# MAKES     results/mm_neurons/{model}/captions.parquet, nouns.parquet, noun_counts.csv, neurons.h5     imported
#           results/mm_neurons/{model}/released/{activation}/    results of pictures exported, files.json names them
#           results/mm_neurons/{model}/released/preparation/     projections and words of all neurons exported
# SETTINGS  mm_neurons.exchange, mm_neurons.maps
from vlmscope.mm_neurons.exchange.plan import Trees

trees = Trees(cfg)


# What is imported is not made.
ruleorder: mm_neurons_import > mm_neurons_captions
ruleorder: mm_neurons_import > mm_neurons_nouns
ruleorder: mm_neurons_import > mm_neurons_rank


rule mm_neurons_import:
    """Read captions, nouns and neurons from a tree of the released code."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        tree=trees.pictures,
    output:
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
        counts="results/mm_neurons/{model}/noun_counts.csv",
        neurons="results/mm_neurons/{model}/neurons.h5",
    wildcard_constraints:
        model=flow.one_of(trees.models()),
    log:
        "logs/mm_neurons_import/{model}.log",
    params:
        settings=settings(
            folder="mm_neurons.exchange.imported.{model}.folder",
            activation="mm_neurons.exchange.imported.{model}.activation",
            precision="mm_neurons.rank.precision",
        ),
        code=code("mm_neurons_import", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=4)
    resources:
        **cpu(mem_gb=8, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_import.py"


rule mm_neurons_export:
    """Write captions, neurons, maps and effects of a model as the released code does."""
    input:
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        index=expand(
            "results/captures/{{model}}/{capture}/{dataset}/index.json",
            capture=cfg.mm_neurons.capture,
            dataset=cfg.mm_neurons.dataset,
        ),
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        neurons="results/mm_neurons/{model}/neurons.h5",
        maps="results/mm_neurons/{model}/maps.h5",
        effects="results/mm_neurons/{model}/effects.parquet",
    output:
        files="results/mm_neurons/{model}/released/{activation}/files.json",
    wildcard_constraints:
        activation=flow.one_of(cfg.mm_neurons.rank.activations),
    log:
        "logs/mm_neurons_export/{model}-{activation}.log",
    params:
        settings=settings(
            images="mm_neurons.exchange.images",
            listed="mm_neurons.rank.listed",
            sizes="mm_neurons.maps.sizes",
            singles="mm_neurons.maps.singles",
            percentile="mm_neurons.maps.percentile",
            interpolation="mm_neurons.maps.interpolation",
        ),
        code=code("mm_neurons_export"),
    threads: 1
    resources:
        **cpu(mem_gb=8, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_export.py"


rule mm_neurons_export_preparation:
    """Write projections, output vectors and words of all neurons as the released code prepares them."""
    input:
        model="results/models/{model}/model.json",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
    output:
        files="results/mm_neurons/{model}/released/preparation/files.json",
    log:
        "logs/mm_neurons_export_preparation/{model}.log",
    params:
        code=code("mm_neurons_export_preparation", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=12, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_export_preparation.py"
