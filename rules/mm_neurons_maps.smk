# MM_Neurons: where in a picture the neurons of a noun are active, and what they do when image tokens change places.
#
# NEEDS     results/models/{model}/model.json, neurons.h5, captions.parquet, nouns.parquet, the samples behind them
# MAKES     results/mm_neurons/{model}/maps.h5                  best neurons of every noun at the image tokens
#           results/mm_neurons/{model}/maps/, maps.csv          heat maps and masks, and what each shows
#           results/mm_neurons/{model}/shuffled.parquet         nouns behind shuffled pictures
#           results/mm_neurons/{model}/shuffled_neurons.h5      their neurons; method METHOD.MODE.PERMUTATION
#           results/mm_neurons/{model}/shuffled_maps.h5         these at the image tokens, back in their places
# SETTINGS  mm_neurons.maps, mm_neurons.shuffle


rule mm_neurons_maps:
    """Activations of every noun's best neurons at the image tokens."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        neurons="results/mm_neurons/{model}/neurons.h5",
    output:
        maps="results/mm_neurons/{model}/maps.h5",
    log:
        "logs/mm_neurons_maps/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_maps/{model}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            prompt=f"captures.{cfg.mm_neurons.capture}.prompt",
            begin=f"captures.{cfg.mm_neurons.capture}.begin",
            activations="mm_neurons.rank.activations",
            units="mm_neurons.maps.units",
            control="mm_neurons.maps.control",
        ),
        code=code(
            "mm_neurons_maps",
            "vlmscope.models.{family:model}",
            f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_maps.py"


rule mm_neurons_draw:
    """Heat maps and masks of the first pictures."""
    input:
        maps="results/mm_neurons/{model}/maps.h5",
        neurons="results/mm_neurons/{model}/neurons.h5",
        samples=paths.captioned,
    output:
        folder=directory("results/mm_neurons/{model}/maps"),
        table="results/mm_neurons/{model}/maps.csv",
    log:
        "logs/mm_neurons_draw/{model}.log",
    params:
        settings=settings(
            activations="mm_neurons.rank.activations",
            sizes="mm_neurons.maps.sizes",
            singles="mm_neurons.maps.singles",
            percentile="mm_neurons.maps.percentile",
            interpolation="mm_neurons.maps.interpolation",
            images="mm_neurons.maps.images",
        ),
        code=code("mm_neurons_draw"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_draw.py"


rule mm_neurons_shuffle:
    """Captions, nouns and neurons of pictures whose image tokens changed places."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
        lexicon=[cfg.mm_neurons.nouns.lexicon] if cfg.mm_neurons.nouns.lexicon else [],
    output:
        nouns="results/mm_neurons/{model}/shuffled.parquet",
        neurons="results/mm_neurons/{model}/shuffled_neurons.h5",
        maps="results/mm_neurons/{model}/shuffled_maps.h5",
    log:
        "logs/mm_neurons_shuffle/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_shuffle/{model}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            prompt=f"captures.{cfg.mm_neurons.capture}.prompt",
            begin=f"captures.{cfg.mm_neurons.capture}.begin",
            max_new_tokens=f"captures.{cfg.mm_neurons.capture}.max_new_tokens",
            activations="mm_neurons.rank.activations",
            precision="mm_neurons.rank.precision",
            fold_norm="mm_neurons.rank.fold_norm",
            keep="mm_neurons.rank.keep",
            keep_others="mm_neurons.rank.keep_others",
            seed="mm_neurons.rank.seed",
            nouns="mm_neurons.nouns",
            shuffle="mm_neurons.shuffle",
            units="mm_neurons.maps.units",
        ),
        code=code(
            "mm_neurons_shuffle",
            "vlmscope.models.{family:model}",
            f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_shuffle.py"
