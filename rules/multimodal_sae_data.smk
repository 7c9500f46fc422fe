# multimodal-sae: the pictures that autoencoders are looked at with, put together from several datasets.
#
# NEEDS     results/data/{dataset}/ of the datasets that are named
# MAKES     results/data/{dataset}/raw.json    of datasets with source: joined, which lie beside
#           results/data/{dataset}/parts.csv   where each part begins
# SETTINGS  multimodal_sae.joined


rule multimodal_sae_join:
    """Join pictures of several datasets in the layout of sae-sample-cache-dataset."""
    input:
        raws=[f"results/data/{one.data}/raw.json" for one in cfg.multimodal_sae.joined.parts],
        samples=[f"results/data/{one.data}/{one.split}.parquet" for one in cfg.multimodal_sae.joined.parts],
    output:
        raw="results/data/{dataset}/raw.json",
        parts="results/data/{dataset}/parts.csv",
    wildcard_constraints:
        dataset=flow.one_of(paths.datasets("joined")),
    log:
        "logs/multimodal_sae_join/{dataset}.log",
    params:
        settings=settings(parts="multimodal_sae.joined.parts"),
        code=code("multimodal_sae_join"),
        folder="results/data/{dataset}/joined",
    threads: 1
    resources:
        **cpu(mem_gb=1.5 if cfg.scale == "tiny" else 16, minutes=240),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_join.py"
