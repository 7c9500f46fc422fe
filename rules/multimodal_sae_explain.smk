# multimodal-sae: names for latents, and how well they fit (arXiv 2411.14982, Tables 1 and 2).
#
# NEEDS     results/multimodal_sae/{model}/{cache.h5,sae/}, the model that explains, CLIP, the samples of the cache,
#           Grounding DINO and SAM where they find what names mean
# MAKES     results/multimodal_sae/{model}/untrained/                 the control: an autoencoder that was not trained
#           results/multimodal_sae/{model}/labels.parquet             names of latents, by explainer
#           results/multimodal_sae/{model}/explanations.csv           the same with scores
#           results/multimodal_sae/{model}/table1_iou_clip.csv, table2_consistency.csv
#           results/multimodal_sae/{model}/iou_classes.csv            best latent of every word, held out, beside the control
# SETTINGS  multimodal_sae.explain, multimodal_sae.cache, multimodal_sae.site
from vlmscope.multimodal_sae.explain import job as explain_job

naming = explain_job.Inputs(cfg, sae.hookpoint)


rule multimodal_sae_explain:
    """Names of latents and their scores, for every configured model."""
    input:
        expand("results/multimodal_sae/{model}/table1_iou_clip.csv", model=cfg.run.multimodal_sae),


rule multimodal_sae_control:
    """Keep the active latents of an autoencoder that was not trained."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        config=f"{naming.control}/cfg.json",
        weights=f"{naming.control}/sae.safetensors",
        cache="results/multimodal_sae/{model}/untrained/cache.h5",
    log:
        "logs/multimodal_sae_control/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_control/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site",
            data="multimodal_sae.cache.data",
            split="multimodal_sae.cache.split",
            samples="multimodal_sae.cache.samples",
            scope="multimodal_sae.cache.scope",
            dtype="multimodal_sae.cache.dtype",
            seed="multimodal_sae.explain.seed",
        ),
        code=code("multimodal_sae_control", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_control.py"


rule multimodal_sae_name:
    """Name latents by the pictures that excite them most."""
    input:
        trained="results/multimodal_sae/{model}/cache.h5",
        untrained="results/multimodal_sae/{model}/untrained/cache.h5",
        explainer=naming.explainer,
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        labels="results/multimodal_sae/{model}/labels.parquet",
    log:
        "logs/multimodal_sae_name/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_name/{model}.tsv"
    params:
        settings=settings(
            by="multimodal_sae.explain.by",
            explainer="multimodal_sae.explain.explainer",
            style="multimodal_sae.explain.style",
            question="multimodal_sae.explain.question",
            max_new_tokens="multimodal_sae.explain.max_new_tokens",
            refiner="multimodal_sae.explain.refiner",
            labeller="multimodal_sae.explain.labeller",
            latents="multimodal_sae.explain.latents",
            examples="multimodal_sae.explain.examples",
            size="multimodal_sae.explain.size",
            least="multimodal_sae.explain.least",
        ),
        # Here lie the answers of a killed run, for the next to go on from.
        state=naming.state,
        code=code("multimodal_sae_name", naming.family),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=1440, mem_gb=160),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_name.py"


rule multimodal_sae_score:
    """Score names of latents by masks, CLIP and a judge, beside controls."""
    input:
        trained="results/multimodal_sae/{model}/cache.h5",
        untrained="results/multimodal_sae/{model}/untrained/cache.h5",
        labels="results/multimodal_sae/{model}/labels.parquet",
        explainer=naming.judge,
        clip=naming.clip,
        segmenters=naming.segmenters,
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        explanations="results/multimodal_sae/{model}/explanations.csv",
        table1=report(
            "results/multimodal_sae/{model}/table1_iou_clip.csv",
            caption="../report/multimodal_sae_table1.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "table 1"},
        ),
        meta="results/multimodal_sae/{model}/table1_iou_clip.meta.json",
        table2=report(
            "results/multimodal_sae/{model}/table2_consistency.csv",
            caption="../report/multimodal_sae_table2.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "table 2"},
        ),
        classes="results/multimodal_sae/{model}/iou_classes.csv",
    log:
        "logs/multimodal_sae_score/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_score/{model}.tsv"
    params:
        settings=settings(
            by="multimodal_sae.explain.by",
            judge="multimodal_sae.explain.judge",
            examples="multimodal_sae.explain.examples",
            size="multimodal_sae.explain.size",
            segmenter="multimodal_sae.explain.segmenter",
            box_threshold="multimodal_sae.explain.box_threshold",
            prefix="multimodal_sae.explain.prefix",
            scorers="multimodal_sae.explain.scorers",
            random_iou="multimodal_sae.explain.random_iou",
            random_clip="multimodal_sae.explain.random_clip",
            resamples="multimodal_sae.explain.resamples",
            seed="multimodal_sae.explain.seed",
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_score", "vlmscope.models.clip", naming.family),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=32, batch=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_score.py"
