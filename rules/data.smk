# Benchmarks: official files (drawn, downloaded or already there) -> sample tables.
#
# NEEDS     nothing (drawn), the network (download), or a folder of yours (folder)
# MAKES     results/data/{dataset}/raw.json        where the official files lie, and their digest
#           results/data/{dataset}/{split}.parquet sample table, vlmscope/samples.py
#           results/data/{dataset}/dead_links.csv  links that lead to no picture (download of a list of links)
# SETTINGS  datasets


rule data_draw:
    """Draw the embedded world and write it in a benchmark's official format."""
    output:
        "results/data/{dataset}/raw.json",
    wildcard_constraints:
        dataset=flow.one_of(paths.datasets("drawn")),
    log:
        "logs/data_draw/{dataset}.log",
    params:
        settings=settings(
            kind="datasets.{dataset}.kind", splits="datasets.{dataset}.splits", scenes="datasets.{dataset}.scenes"
        ),
        code=code("data_draw", "vlmscope.datasets.{kind:dataset}", lookup=paths.kinds),
        folder="results/data/{dataset}/drawn",
    group:
        "data"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/data_draw.py"


rule data_fetch:
    """Download a benchmark: resumed, checked, unpacked safely; stops with the place for files behind an account."""
    input:
        os.path.join(root, "vlmscope", "datasets", "sources.toml"),
    output:
        "results/data/{dataset}/raw.json",
    wildcard_constraints:
        dataset=flow.one_of(paths.downloads(linked=False)),
    log:
        "logs/data_fetch/{dataset}.log",
    params:
        settings=settings(kind="datasets.{dataset}.kind", splits="datasets.{dataset}.splits"),
        code=code("data_fetch"),
        folder=paths.raw_folder,
    threads: 1
    resources:
        **cpu(minutes=720),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/data_fetch.py"


rule data_links:
    """Download a list of links and the pictures behind them until there are enough; what was found is frozen."""
    input:
        os.path.join(root, "vlmscope", "datasets", "sources.toml"),
    output:
        raw="results/data/{dataset}/raw.json",
        dead="results/data/{dataset}/dead_links.csv",
    wildcard_constraints:
        dataset=flow.one_of(paths.downloads(linked=True)),
    log:
        "logs/data_links/{dataset}.log",
    params:
        settings=settings(splits="datasets.{dataset}.splits"),
        deal=paths.deal,
        code=code("data_links"),
        folder=paths.raw_folder,
    threads: 1
    resources:
        **cpu(minutes=720),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/data_links.py"


rule data_folder:
    """Take official files that are already on disk."""
    output:
        "results/data/{dataset}/raw.json",
    wildcard_constraints:
        dataset=flow.one_of(paths.datasets("folder")),
    log:
        "logs/data_folder/{dataset}.log",
    params:
        settings=settings(kind="datasets.{dataset}.kind", root="datasets.{dataset}.root"),
        code=code("data_folder"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/data_folder.py"


rule data_samples:
    """Read the official files in the official order into one sample table."""
    input:
        raw="results/data/{dataset}/raw.json",
    output:
        samples="results/data/{dataset}/{split}.parquet",
    log:
        "logs/data_samples/{dataset}-{split}.log",
    params:
        settings=settings(
            kind="datasets.{dataset}.kind",
            split="datasets.{dataset}.splits.{split}",
            limit="datasets.{dataset}.limit.{split}",
            options="datasets.{dataset}.options",
        ),
        code=code("data_samples", "vlmscope.datasets.{kind:dataset}", lookup=paths.kinds),
    group:
        "data"
    threads: 1
    resources:
        **cpu(mem_gb=1.5 if cfg.scale == "tiny" else 8, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/data_samples.py"
