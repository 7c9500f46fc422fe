# MMNeuron: scores in both versions, and a page to look at single neurons.
#
# NEEDS     answers of all domains, the neurons, the capture behind them, train and val samples
# MAKES     results/mmneuron/{model}/metrics.csv                 official and corrected scores side by side
#           results/mmneuron/{model}/examples/{domain}.parquet   pictures of highest activation, their maps
#           results/mmneuron/{model}/zeroed/{domain}.parquet     each of these neurons zeroed by itself
#           results/mmneuron/{model}/neurons.html                the page
# SETTINGS  mmneuron.evaluate, mmneuron.examples

# The pictures that were counted.
shown_split = cfg.captures[cfg.mmneuron.capture].split


rule mmneuron_look:
    """Scores in both versions and the neuron page of every configured model."""
    input:
        expand("results/mmneuron/{model}/{file}", model=cfg.run.mmneuron, file=["metrics.csv", "neurons.html"]),


rule mmneuron_metrics:
    """Every score as the released code takes it and as its benchmark means it."""
    input:
        samples=expand("results/data/{domain}/val.parquet", domain=cfg.mmneuron.domains),
        untouched=expand("results/mmneuron/{{model}}/answers/{domain}/none.parquet", domain=cfg.mmneuron.domains),
        masked=expand("results/mmneuron/{{model}}/answers/{domain}/masked.parquet", domain=cfg.mmneuron.domains),
        judge=paths.judge,
    output:
        table="results/mmneuron/{model}/metrics.csv",
    log:
        "logs/mmneuron_metrics/{model}.log",
    params:
        settings=settings(bootstrap="mmneuron.evaluate.bootstrap", seed="mmneuron.evaluate.seed"),
        conditions=paths.condition_modules,
        data=paths.table_data,
        code=code("mmneuron_metrics"),
    threads: 1
    resources:
        **cpu(mem_gb=judge_gb, minutes=60),
    conda:
        judge_env
    script:
        "../scripts/mmneuron_metrics.py"


rule mmneuron_examples:
    """Pictures that the page's neurons fire at most strongly, and what zeroing each of them changes."""
    input:
        model="results/models/{model}/model.json",
        raws=portions.raws,
        samples=portions.tables(shown_split),
        neurons="results/mmneuron/{model}/neurons.parquet",
    output:
        examples=expand("results/mmneuron/{{model}}/examples/{domain}.parquet", domain=portions.each),
        zeroed=expand("results/mmneuron/{{model}}/zeroed/{domain}.parquet", domain=portions.each),
    log:
        f"logs/mmneuron_examples/{portions.job}.log",
    benchmark:
        f"benchmarks/mmneuron_examples/{portions.job}.tsv"
    params:
        settings=settings(
            prompt=f"captures.{cfg.mmneuron.capture}.prompt",
            domains="mmneuron.domains",
            neurons="mmneuron.examples.neurons",
            samples="mmneuron.examples.samples",
            images="mmneuron.examples.images",
            zeroed="mmneuron.examples.zeroed",
        ),
        code=code(
            "mmneuron_examples",
            "vlmscope.models.{family:model}",
            *portions.own_readers,
            lookup=paths.kinds,
        ),
        portion=portions.kinds,
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.examples),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_examples.py"


rule mmneuron_page:
    """A page to pick single neurons and see where they fire."""
    input:
        neurons="results/mmneuron/{model}/neurons.parquet",
        counts=paths.counts("{model}"),
        examples=expand("results/mmneuron/{{model}}/examples/{domain}.parquet", domain=cfg.mmneuron.domains),
        zeroed=expand("results/mmneuron/{{model}}/zeroed/{domain}.parquet", domain=cfg.mmneuron.domains),
        raws=expand("results/data/{domain}/raw.json", domain=cfg.mmneuron.domains),
        samples=expand(f"results/data/{{domain}}/{shown_split}.parquet", domain=cfg.mmneuron.domains),
        templates=expand(
            page_parts,
            file=["base.html", "picker.html", "neurons.html", "neurons.js", "neurons.css", "page.css", "page.js"],
        ),
    output:
        page=report(
            "results/mmneuron/{model}/neurons.html",
            caption="../report/neurons.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "neuron page"},
        ),
    log:
        "logs/mmneuron_page/{model}.log",
    params:
        settings=settings(domains="mmneuron.domains", family="models.{model}.family", pixels="mmneuron.examples.pixels"),
        look=settings(label="models.{model}.label", scale="scale"),
        kinds=paths.domain_kinds,
        code=code("mmneuron_page"),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_page.py"
