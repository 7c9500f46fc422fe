# MMNeuron: scores in both versions, and a page to look at single neurons.
#
# NEEDS     answers of all domains, the neurons, the capture behind them, train and val samples
# MAKES     results/mmneuron/{model}/metrics.csv              official and corrected scores side by side
# SETTINGS  mmneuron.evaluate, mmneuron.examples


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
        settings=settings(evaluate="mmneuron.evaluate"),
        conditions=paths.conditions,
        data=paths.table_data,
        code=code("mmneuron_metrics"),
    threads: 1
    resources:
        **cpu(mem_gb=judge_gb, minutes=60),
    conda:
        judge_env
    script:
        "../scripts/mmneuron_metrics.py"
