# MMNeuron: controls beside tables 1 and 2, variations of the deactivation, stability of the neuron sets.
#
# NEEDS     the neurons and the capture behind them, sample tables of split val
# MAKES     results/mmneuron/{model}/table1.csv
#           results/mmneuron/{model}/effects/{portion}.parquet     one row per sample and mask; portion: some domains
#           results/mmneuron/{model}/table3.csv, table4.csv, table5.csv, each with a table*_long.csv
#           results/mmneuron/{model}/effects.csv, cross.csv        own domain beside other domains and random neurons
#           results/mmneuron/{model}/varied/{portion}.parquet, dose.csv, ablations.csv
#           results/mmneuron/{model}/stability.csv, positions.csv  neuron sets of other data, of other positions
# SETTINGS  mmneuron.effects, mmneuron.vary


wildcard_constraints:
    portion=flow.one_of(portions.domains),


rule mmneuron_table1:
    """Number of domain-specific neurons per module and domain."""
    input:
        summary="results/mmneuron/{model}/neurons.json",
    output:
        table=report(
            f"results/mmneuron/{{model}}/{named.neurons}.csv",
            caption="../report/table1.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "table 1"},
        ),
    log:
        "logs/mmneuron_table1/{model}.log",
    params:
        settings=settings(label="models.{model}.label", domains="mmneuron.domains", family="models.{model}.family"),
        code=code("mmneuron_table1"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_table1.py"


rule mmneuron_perturb:
    """Deviation of hidden states and answers: own and random neurons of every condition, other domains' of one."""
    input:
        model="results/models/{model}/model.json",
        raws=portions.raws,
        samples=portions.samples,
        neurons="results/mmneuron/{model}/neurons.parquet",
    output:
        rows="results/mmneuron/{model}/effects/{portion}.parquet",
    log:
        "logs/mmneuron_perturb/{model}-{portion}.log",
    benchmark:
        "benchmarks/mmneuron_perturb/{model}-{portion}.tsv"
    params:
        settings=settings(
            domains="mmneuron.domains",
            generate="mmneuron.generate",
            effects="mmneuron.effects",
        ),
        portion=portions.kinds,
        conditions=paths.masked_conditions,
        code=code("mmneuron_perturb", "vlmscope.models.{family:model}", *portions.readers, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.perturb),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_perturb.py"


rule mmneuron_effects:
    """Own-domain effect beside its controls: effects, crossed domains, tables 3 to 5."""
    input:
        rows=portions.files("effects"),
        samples=expand("results/data/{domain}/val.parquet", domain=cfg.mmneuron.domains),
        judge=paths.judge,
        model="results/models/{model}/model.json",
        summary="results/mmneuron/{model}/neurons.json",
        raws=expand("results/data/{domain}/raw.json", domain=cfg.mmneuron.domains),
    output:
        effects=report(
            "results/mmneuron/{model}/effects.csv",
            caption="../report/effects.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "effects and controls"},
        ),
        effects_figure=report(
            "results/mmneuron/{model}/effects.svg",
            caption="../report/effects.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "effects, figure"},
        ),
        effects_picture="results/mmneuron/{model}/effects.png",
        cross="results/mmneuron/{model}/cross.csv",
        cross_figure=report(
            "results/mmneuron/{model}/cross.svg",
            caption="../report/cross.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "crossed domains"},
        ),
        cross_picture="results/mmneuron/{model}/cross.png",
        table3=report(
            f"results/mmneuron/{{model}}/{named.deviation}.csv",
            caption="../report/table3.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "table 3"},
        ),
        table3_long=f"results/mmneuron/{{model}}/{named.deviation}_long.csv",
        table4=f"results/mmneuron/{{model}}/{named.random_accuracy}.csv",
        table4_long=f"results/mmneuron/{{model}}/{named.random_accuracy}_long.csv",
        table5=f"results/mmneuron/{{model}}/{named.random_deviation}.csv",
        table5_long=f"results/mmneuron/{{model}}/{named.random_deviation}_long.csv",
        meta="results/mmneuron/{model}/effects.meta.json",
    log:
        "logs/mmneuron_effects/{model}.log",
    params:
        settings=settings(
            scale="scale",
            label="models.{model}.label",
            deviation="mmneuron.tables.deviation",
            random_accuracy="mmneuron.tables.random_accuracy",
            random_deviation="mmneuron.tables.random_deviation",
            columns="mmneuron.columns",
            generate="mmneuron.generate",
            identify="mmneuron.identify",
            evaluate="mmneuron.evaluate",
            effects="mmneuron.effects",
        ),
        conditions=paths.conditions,
        data=paths.table_data,
        code=code("mmneuron_effects"),
    threads: 1
    resources:
        **cpu(mem_gb=judge_gb, minutes=60),
    conda:
        judge_env
    script:
        "../scripts/mmneuron_effects.py"


rule mmneuron_vary:
    """Deviation and answers with more or fewer neurons zeroed, or with their mean or a multiple instead."""
    input:
        model="results/models/{model}/model.json",
        raws=portions.raws,
        samples=portions.samples,
        counts=paths.counts("{model}"),
    output:
        rows="results/mmneuron/{model}/varied/{portion}.parquet",
    log:
        "logs/mmneuron_vary/{model}-{portion}.log",
    benchmark:
        "benchmarks/mmneuron_vary/{model}-{portion}.tsv"
    params:
        settings=settings(
            domains="mmneuron.domains",
            generate="mmneuron.generate",
            identify="mmneuron.identify",
            vary="mmneuron.vary",
        ),
        portion=portions.kinds,
        conditions=paths.masked_conditions,
        code=code("mmneuron_vary", "vlmscope.models.{family:model}", *portions.readers, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.vary),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_vary.py"


rule mmneuron_variations:
    """Effect over the number of neurons, and of other edits than zero."""
    input:
        rows=portions.files("varied"),
        samples=expand("results/data/{domain}/val.parquet", domain=cfg.mmneuron.domains),
        judge=paths.judge,
    output:
        dose="results/mmneuron/{model}/dose.csv",
        dose_figure=report(
            "results/mmneuron/{model}/dose.svg",
            caption="../report/dose.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "effect over the number of neurons"},
        ),
        dose_picture="results/mmneuron/{model}/dose.png",
        ablations=report(
            "results/mmneuron/{model}/ablations.csv",
            caption="../report/ablations.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "other edits than zero"},
        ),
    log:
        "logs/mmneuron_variations/{model}.log",
    params:
        settings=settings(scale="scale", label="models.{model}.label", evaluate="mmneuron.evaluate"),
        data=paths.table_data,
        code=code("mmneuron_variations"),
    threads: 1
    resources:
        **cpu(mem_gb=judge_gb, minutes=60),
    conda:
        judge_env
    script:
        "../scripts/mmneuron_variations.py"


rule mmneuron_stability:
    """Neuron sets over disjoint shards, over budgets, and over kinds of positions."""
    input:
        counts=paths.counts("{model}"),
    output:
        stability="results/mmneuron/{model}/stability.csv",
        stability_figure=report(
            "results/mmneuron/{model}/stability.svg",
            caption="../report/stability.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "stability of the neuron sets"},
        ),
        stability_picture="results/mmneuron/{model}/stability.png",
        positions=report(
            "results/mmneuron/{model}/positions.csv",
            caption="../report/positions.rst",
            category="MMNeuron",
            labels={"model": "{model}", "result": "image and text positions"},
        ),
    log:
        "logs/mmneuron_stability/{model}.log",
    params:
        settings=settings(identify="mmneuron.identify", domains="mmneuron.domains", family="models.{model}.family"),
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("mmneuron_stability"),
    threads: 1
    resources:
        **cpu(mem_gb=3),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_stability.py"
