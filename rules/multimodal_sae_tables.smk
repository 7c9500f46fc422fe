# multimodal-sae: layers, other models, steering and hallucination (arXiv 2411.14982, Tables 3, 4, 9, 10 and 11).
#
# NEEDS     results/models/{model}/model.json, the autoencoder, names of latents, samples of .small, .cache
# MAKES     results/multimodal_sae/{model}/downstream.csv, downstream_answers.csv    right answers, autoencoder in the loop
#           results/multimodal_sae/{model}/small/                  small autoencoders of several layers, with caches
#           results/multimodal_sae/{model}/small_scores.csv, small_labels.parquet   names of their latents, and scores
#           results/multimodal_sae/{model}/table3_layers.csv, table4_architecture.csv, table10_models.csv
#           results/multimodal_sae/{model}/table9_steering.csv, white_answers.csv
#           results/multimodal_sae/{model}/table11_hallusion.csv, hallusion_answers.csv
# SETTINGS  multimodal_sae.downstream, .small, .white, .hallusion, .train, .explain, .cache, .site
from vlmscope.multimodal_sae.tables import job as small_job

little = small_job.Inputs(cfg, naming)
asked, doubted = cfg.multimodal_sae.downstream, cfg.multimodal_sae.hallusion


rule multimodal_sae_tables:
    """Layers, other models, steering and hallucination, for every configured model."""
    input:
        expand(
            "results/multimodal_sae/{model}/{table}.csv",
            model=cfg.run.multimodal_sae,
            table=["downstream", "table3_layers", "table9_steering", "table11_hallusion"],
        ),


rule multimodal_sae_downstream:
    """Ask questions with the autoencoder in the loop, and with its controls."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        indices=sae.indices,
        raws=sae.raws,
        samples=sae.samples,
        asked_raw=f"results/data/{asked.data}/raw.json",
        asked=f"results/data/{asked.data}/{asked.split}.parquet",
    output:
        table=report(
            "results/multimodal_sae/{model}/downstream.csv",
            caption="../report/multimodal_sae_downstream.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "answers with the autoencoder in the loop"},
        ),
        meta="results/multimodal_sae/{model}/downstream.meta.json",
        answers="results/multimodal_sae/{model}/downstream_answers.csv",
    log:
        "logs/multimodal_sae_downstream/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_downstream/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site", train="multimodal_sae.train", downstream="multimodal_sae.downstream"
        ),
        data=sae.data,
        asked=little.asked,
        about=settings(label="models.{model}.label", scale="scale"),
        code=code(
            "multimodal_sae_downstream",
            "vlmscope.models.{family:model}",
            "vlmscope.datasets.vqav2",
            *sae.formats,
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_downstream.py"


rule multimodal_sae_white:
    """Ask about a white picture with named latents held, and judge the answers."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        cache="results/multimodal_sae/{model}/cache.h5",
        labels="results/multimodal_sae/{model}/labels.parquet",
        explainer=naming.judge,
    output:
        table=report(
            "results/multimodal_sae/{model}/table9_steering.csv",
            caption="../report/multimodal_sae_table9.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "table 9"},
        ),
        meta="results/multimodal_sae/{model}/table9_steering.meta.json",
        answers="results/multimodal_sae/{model}/white_answers.csv",
    log:
        "logs/multimodal_sae_white/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_white/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site", white="multimodal_sae.white", judge="multimodal_sae.explain.judge"
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_white", "vlmscope.models.{family:model}", naming.family, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, mem_gb=160, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_white.py"


rule multimodal_sae_hallusion:
    """Change the latents on which answers rest, and see what becomes of wrong and right ones."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        raw=f"results/data/{doubted.data}/raw.json",
        samples=f"results/data/{doubted.data}/{doubted.split}.parquet",
    output:
        table=report(
            "results/multimodal_sae/{model}/table11_hallusion.csv",
            caption="../report/multimodal_sae_table11.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "table 11"},
        ),
        meta="results/multimodal_sae/{model}/table11_hallusion.meta.json",
        answers="results/multimodal_sae/{model}/hallusion_answers.csv",
    log:
        "logs/multimodal_sae_hallusion/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_hallusion/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", hallusion="multimodal_sae.hallusion"),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_hallusion", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_hallusion.py"


rule multimodal_sae_small:
    """Train small autoencoders of several layers in one pass over the data."""
    input:
        model="results/models/{model}/model.json",
        raws=little.raws,
        samples=little.samples,
        cached_raws=sae.cached_raws,
        cached=sae.cached_samples,
    output:
        folder=directory("results/multimodal_sae/{model}/small"),
    log:
        "logs/multimodal_sae_small/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_small/{model}.tsv"
    params:
        settings=settings(
            held="multimodal_sae.small.held",
            train="multimodal_sae.small.train",
            cached="multimodal_sae.cache.data",
            split="multimodal_sae.cache.split",
            samples="multimodal_sae.cache.samples",
            scope="multimodal_sae.cache.scope",
            dtype="multimodal_sae.cache.dtype",
        ),
        about=little.about,
        code=code("multimodal_sae_small", "vlmscope.models.{family:model}", *little.formats, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=1440, mem_gb=160),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_small.py"


rule multimodal_sae_small_score:
    """Name latents of small autoencoders and score the names, beside controls."""
    input:
        folder="results/multimodal_sae/{model}/small",
        explainer=little.explainer,
        clip=naming.clip,
        segmenters=naming.segmenters,
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        scores="results/multimodal_sae/{model}/small_scores.csv",
        labels="results/multimodal_sae/{model}/small_labels.parquet",
    log:
        "logs/multimodal_sae_small_score/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_small_score/{model}.tsv"
    params:
        settings=settings(
            by="multimodal_sae.small.by",
            latents="multimodal_sae.small.features",
            explainer="multimodal_sae.explain.explainer",
            refiner="multimodal_sae.explain.refiner",
            labeller="multimodal_sae.explain.labeller",
            judge="multimodal_sae.explain.judge",
            style="multimodal_sae.explain.style",
            question="multimodal_sae.explain.question",
            max_new_tokens="multimodal_sae.explain.max_new_tokens",
            examples="multimodal_sae.explain.examples",
            size="multimodal_sae.explain.size",
            least="multimodal_sae.explain.least",
            segmenter="multimodal_sae.explain.segmenter",
            box_threshold="multimodal_sae.explain.box_threshold",
            prefix="multimodal_sae.explain.prefix",
            scorers="multimodal_sae.small.scorers",
            random_iou="multimodal_sae.explain.random_iou",
            random_clip="multimodal_sae.explain.random_clip",
            resamples="multimodal_sae.explain.resamples",
            seed="multimodal_sae.explain.seed",
        ),
        # Here lie the answers of a killed run, for the next to go on from.
        state="results/multimodal_sae/{model}/small.state",
        code=code("multimodal_sae_small_score", "vlmscope.models.clip", naming.family),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=1440, mem_gb=160, batch=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_small_score.py"


rule multimodal_sae_compare:
    """Compare layers of a model, and models."""
    input:
        scores=little.others,
    output:
        layers=report(
            "results/multimodal_sae/{model}/table3_layers.csv",
            caption="../report/multimodal_sae_table3.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "table 3"},
        ),
        meta="results/multimodal_sae/{model}/table3_layers.meta.json",
        architecture="results/multimodal_sae/{model}/table4_architecture.csv",
        models="results/multimodal_sae/{model}/table10_models.csv",
    log:
        "logs/multimodal_sae_compare/{model}.log",
    params:
        models=little.models,
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_compare"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_compare.py"
