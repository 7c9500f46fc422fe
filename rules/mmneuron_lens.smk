# MMNeuron's figures: logit lens, stages, distribution of neurons, map of the pictures, prompts.
#
# NEEDS     results/models/{model}/model.json, sample tables of split train, results/mmneuron/{model}/neurons.parquet
# MAKES     results/mmneuron/{model}/lens_{domain}.csv, lens_{domain}_{number}.html    top tokens by layer and position
#           results/mmneuron/{model}/fig_entropy.*, stages.csv, fig_stages.*           entropy by layer, change points
#           results/mmneuron/{model}/fig_layers.*, fig_sharing.*, fig_overlap.*, neurons.csv
#           results/mmneuron/{model}/fig2_pca.*, prompts.json
# SETTINGS  mmneuron


rule mmneuron_figures:
    """Figures and pages of this system for every configured model."""
    input:
        expand(
            "results/mmneuron/{model}/{file}",
            model=cfg.run.mmneuron,
            file=[
                *expand("lens_{domain}.csv", domain=cfg.mmneuron.domains),
                *expand(
                    "lens_{domain}_{number}.html", domain=cfg.mmneuron.domains, number=range(cfg.mmneuron.lens.shown)
                ),
                "stages.csv",
                "neurons.csv",
                "fig2_pca.csv",
                "prompts.json",
            ],
        ),


rule mmneuron_lens:
    """Read every layer of one domain's samples through the logit lens, all channels in one pass."""
    input:
        model="results/models/{model}/model.json",
        raw="results/data/{domain}/raw.json",
        samples="results/data/{domain}/train.parquet",
        shift=[cfg.mmneuron.lens.shift] if cfg.mmneuron.lens.shift else [],
    output:
        table="results/mmneuron/{model}/lens_{domain}.csv",
        cells="results/mmneuron/{model}/lens/{domain}.parquet",
        curves="results/mmneuron/{model}/lens/{domain}.curves.parquet",
        about="results/mmneuron/{model}/lens/{domain}.json",
    log:
        "logs/mmneuron_lens/{model}-{domain}.log",
    benchmark:
        "benchmarks/mmneuron_lens/{model}-{domain}.tsv"
    params:
        settings=settings(
            kind="datasets.{domain}.kind",
            prompt="mmneuron.lens.prompt",
            samples="mmneuron.lens.samples",
            shown="mmneuron.lens.shown",
            k="mmneuron.lens.k",
        ),
        code=code(
            "mmneuron_lens",
            "vlmscope.datasets.{kind:domain}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.lens),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_lens.py"


rule mmneuron_lens_pages:
    """Draw the lens of the shown samples as pages to click through."""
    input:
        cells="results/mmneuron/{model}/lens/{domain}.parquet",
        about="results/mmneuron/{model}/lens/{domain}.json",
        raw="results/data/{domain}/raw.json",
        samples="results/data/{domain}/train.parquet",
        templates=expand(
            page_parts,
            file=["base.html", "lens.html", "lens.js", "page.css"],
        ),
    output:
        pages=expand("results/mmneuron/{{model}}/lens_{{domain}}_{number}.html", number=range(cfg.mmneuron.lens.shown)),
    log:
        "logs/mmneuron_lens_pages/{model}-{domain}.log",
    params:
        settings=settings(most="mmneuron.lens.page_positions", label="models.{model}.label", scale="scale"),
        code=code("mmneuron_lens_pages"),
    threads: 1
    resources:
        **cpu(mem_gb=1.5 if cfg.scale == "tiny" else 8),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_lens_pages.py"


rule mmneuron_stages:
    """Entropy by layer, and three segments of the layers with bootstrap intervals."""
    input:
        curves=expand("results/mmneuron/{{model}}/lens/{domain}.curves.parquet", domain=cfg.mmneuron.domains),
        neurons="results/mmneuron/{model}/neurons.parquet",
        summary="results/mmneuron/{model}/neurons.json",
    output:
        entropy="results/mmneuron/{model}/fig_entropy.csv",
        entropy_figures=[
            "results/mmneuron/{model}/fig_entropy.png",
            report(
                "results/mmneuron/{model}/fig_entropy.svg",
                caption="../report/entropy.rst",
                category="MMNeuron",
                labels={"model": "{model}", "result": "lens entropy by layer"},
            ),
        ],
        stages="results/mmneuron/{model}/stages.csv",
        meta="results/mmneuron/{model}/stages.meta.json",
        curves="results/mmneuron/{model}/fig_stages.csv",
        stages_figures=[
            "results/mmneuron/{model}/fig_stages.png",
            report(
                "results/mmneuron/{model}/fig_stages.svg",
                caption="../report/stages.rst",
                category="MMNeuron",
                labels={"model": "{model}", "result": "stages"},
            ),
        ],
    log:
        "logs/mmneuron_stages/{model}.log",
    params:
        settings=settings(
            domains="mmneuron.domains", stages="mmneuron.stages", label="models.{model}.label", scale="scale"
        ),
        code=code("mmneuron_stages"),
    threads: 1
    resources:
        **cpu(mem_gb=2, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_stages.py"


rule mmneuron_distribution:
    """Where the domain-specific neurons lie: by layer, shared between domains, overlap of two domains."""
    input:
        neurons="results/mmneuron/{model}/neurons.parquet",
        summary="results/mmneuron/{model}/neurons.json",
    output:
        neurons="results/mmneuron/{model}/neurons.csv",
        tables=expand("results/mmneuron/{{model}}/fig_{what}.csv", what=["layers", "sharing", "overlap"]),
        layers=[
            "results/mmneuron/{model}/fig_layers.png",
            report(
                "results/mmneuron/{model}/fig_layers.svg",
                caption="../report/layers.rst",
                category="MMNeuron",
                labels={"model": "{model}", "result": "neurons by layer"},
            ),
        ],
        sharing=multiext("results/mmneuron/{model}/fig_sharing", ".png", ".svg"),
        overlap=multiext("results/mmneuron/{model}/fig_overlap", ".png", ".svg"),
    log:
        "logs/mmneuron_distribution/{model}.log",
    params:
        settings=settings(
            domains="mmneuron.domains",
            assign="mmneuron.identify.assign",
            label="models.{model}.label",
            scale="scale",
        ),
        code=code("mmneuron_distribution"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_distribution.py"


rule mmneuron_embed:
    """One vector per picture from the model's own vision tower, all domains in one job."""
    input:
        model="results/models/{model}/model.json",
        raws=expand("results/data/{domain}/raw.json", domain=cfg.mmneuron.domains),
        samples=expand("results/data/{domain}/train.parquet", domain=cfg.mmneuron.domains),
    output:
        embeddings="results/mmneuron/{model}/embeddings.parquet",
        about="results/mmneuron/{model}/embeddings.json",
    log:
        "logs/mmneuron_embed/{model}.log",
    benchmark:
        "benchmarks/mmneuron_embed/{model}.tsv"
    params:
        settings=settings(domains="mmneuron.domains", most="mmneuron.pca.samples"),
        kinds=paths.domain_kinds,
        code=code(
            "mmneuron_embed",
            *expand("vlmscope.datasets.{kind}", kind=sorted(set(paths.kinds["kind"].values()))),
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=demands.embed),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_embed.py"


rule mmneuron_pca:
    """Two principal components of the pictures' embeddings."""
    input:
        embeddings="results/mmneuron/{model}/embeddings.parquet",
        about="results/mmneuron/{model}/embeddings.json",
    output:
        table="results/mmneuron/{model}/fig2_pca.csv",
        meta="results/mmneuron/{model}/fig2_pca.meta.json",
        figures=[
            "results/mmneuron/{model}/fig2_pca.png",
            report(
                "results/mmneuron/{model}/fig2_pca.svg",
                caption="../report/pca.rst",
                category="MMNeuron",
                labels={"model": "{model}", "result": "map of the pictures"},
            ),
        ],
    log:
        "logs/mmneuron_pca/{model}.log",
    params:
        settings=settings(label="models.{model}.label", scale="scale"),
        code=code("mmneuron_pca"),
    threads: 1
    resources:
        **cpu(mem_gb=2),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mmneuron_pca.py"


rule mmneuron_prompts:
    """The prompt of every domain as the model gets it."""
    input:
        samples=expand("results/data/{domain}/val.parquet", domain=cfg.mmneuron.domains),
    output:
        "results/mmneuron/{model}/prompts.json",
    log:
        "logs/mmneuron_prompts/{model}.log",
    params:
        settings=settings(domains="mmneuron.domains", family_name="models.{model}.family"),
        kinds=paths.domain_kinds,
        code=code("mmneuron_prompts", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(),
    # The template stands in the family's module, beside code that needs the packages of models.
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mmneuron_prompts.py"
