# MM_Neurons: neurons as words, and neurons ranked by what they do for each noun of a caption.
#
# NEEDS     results/models/{model}/model.json, captions.parquet, nouns.parquet, the capture named by mm_neurons.capture
# MAKES     results/mm_neurons/{model}/neuron_tokens.parquet   tokens of every neuron, from both ends
#           results/mm_neurons/{model}/neurons.h5              neurons of every noun, by method; no model runs
#           results/mm_neurons/{model}/gradient.h5             the same by the gradient baseline
#           results/mm_neurons/{model}/attribution.parquet     exact parts of every noun's logit, attention heads too
#           results/mm_neurons/{model}/table_hook_compare.csv
# SETTINGS  mm_neurons.rank, mm_neurons.measures


rule mm_neurons_words:
    """Decode every neuron to the tokens that its output weights raise and lower most."""
    input:
        model="results/models/{model}/model.json",
    output:
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
    log:
        "logs/mm_neurons_words/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_words/{model}.tsv"
    params:
        settings=settings(decode_k="mm_neurons.rank.decode_k", fold_norm="mm_neurons.rank.fold_norm"),
        code=code("mm_neurons_words", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=6, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_words.py"


rule mm_neurons_rank:
    """List the neurons behind every noun, by contribution and by baselines, from the captured activations."""
    input:
        model="results/models/{model}/model.json",
        index=paths.caption_index,
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
    output:
        neurons="results/mm_neurons/{model}/neurons.h5",
    log:
        "logs/mm_neurons_rank/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_rank/{model}.tsv"
    params:
        settings=settings(
            activations="mm_neurons.rank.activations",
            precision="mm_neurons.rank.precision",
            fold_norm="mm_neurons.rank.fold_norm",
            keep="mm_neurons.rank.keep",
            keep_others="mm_neurons.rank.keep_others",
            seed="mm_neurons.rank.seed",
        ),
        code=code("mm_neurons_rank", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=4)
    resources:
        **cpu(mem_gb=6, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_rank.py"


rule mm_neurons_attribute:
    """Read the captions once more with gradients: gradient baseline, and exact parts of every noun's logit."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
    output:
        gradient="results/mm_neurons/{model}/gradient.h5",
        attribution="results/mm_neurons/{model}/attribution.parquet",
    log:
        "logs/mm_neurons_attribute/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_attribute/{model}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            prompt=f"captures.{cfg.mm_neurons.capture}.prompt",
            begin=f"captures.{cfg.mm_neurons.capture}.begin",
            reduce="mm_neurons.rank.reduce",
            keep_others="mm_neurons.rank.keep_others",
            attributed="mm_neurons.rank.attributed",
        ),
        code=code(
            "mm_neurons_attribute",
            "vlmscope.models.{family:model}",
            f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    # The states of every layer wait for the way back: few pictures at a time.
    resources:
        **gpu(minutes=90, batch=2),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_attribute.py"


rule mm_neurons_hook_compare:
    """How far the lists by either definition of activation agree."""
    input:
        neurons="results/mm_neurons/{model}/neurons.h5",
        manifests=manifests,
    output:
        table="results/mm_neurons/{model}/table_hook_compare.csv",
        meta="results/mm_neurons/{model}/table_hook_compare.meta.json",
    log:
        "logs/mm_neurons_hook_compare/{model}.log",
    params:
        settings=settings(
            k="mm_neurons.measures.k",
            bootstrap="mm_neurons.measures.bootstrap",
            seed="mm_neurons.measures.seed",
        ),
        about=about,
        code=code("mm_neurons_hook_compare"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_hook_compare.py"
