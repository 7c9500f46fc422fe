# Captures: model x samples x takes, run once, shared by all systems.
#
# NEEDS     results/models/{model}/model.json, results/data/{dataset}/{split}.parquet
# MAKES     results/captures/{model}/{capture}/{dataset}/{shard}.h5   one job each
#           results/captures/{model}/{capture}/{dataset}/index.json   closes the set; readers depend on this alone
# SETTINGS  captures


rule capture_shard:
    """Run one part of a dataset through the model and keep what the takes ask for."""
    input:
        model="results/models/{model}/model.json",
        raw="results/data/{dataset}/raw.json",
        samples=paths.capture_samples,
    output:
        shard="results/captures/{model}/{capture}/{dataset}/{shard}.h5",
    log:
        "logs/capture_shard/{model}-{capture}-{dataset}-{shard}.log",
    benchmark:
        "benchmarks/capture_shard/{model}-{capture}-{dataset}-{shard}.tsv"
    params:
        settings=settings(
            kind="datasets.{dataset}.kind",
            prompt="captures.{capture}.prompt",
            begin="captures.{capture}.begin",
            run="captures.{capture}.run",
            max_new_tokens="captures.{capture}.max_new_tokens",
            samples="captures.{capture}.samples",
            vision_positions="captures.{capture}.vision_positions",
            shards="captures.{capture}.shards",
            take="captures.{capture}.take",
        ),
        code=code(
            "capture_shard",
            "vlmscope.datasets.{kind:dataset}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/capture_shard.py"


rule capture_index:
    """Close one dataset's part of a capture: samples, shards and their digests."""
    input:
        shards=paths.shards,
    output:
        index="results/captures/{model}/{capture}/{dataset}/index.json",
    log:
        "logs/capture_index/{model}-{capture}-{dataset}.log",
    params:
        code=code("capture_index"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/capture_index.py"
