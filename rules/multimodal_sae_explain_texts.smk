# multimodal-sae: latents in texts, names by them, and how well these fit (the branch that the released code inherits).
#
# NEEDS     results/models/{model}/model.json, the autoencoder and its control, samples of multimodal_sae.explain_texts
# MAKES     results/multimodal_sae/{model}/texts/{coder}.h5         active latents of texts, trained and untrained
#           results/multimodal_sae/{model}/texts/labels.parquet     names, by explainer
#           results/multimodal_sae/{model}/texts/explanations.csv   the same with ratings
#           results/multimodal_sae/{model}/texts/rubric.csv         mean ratings beside those of shuffled names
# SETTINGS  multimodal_sae.explain_texts, .explain (who talks), .site


rule multimodal_sae_explain_texts:
    """Names of latents by texts and their ratings, for every configured model."""
    input:
        expand("results/multimodal_sae/{model}/texts/rubric.csv", model=cfg.run.multimodal_sae),


rule multimodal_sae_cache_texts:
    """Keep the active latents of texts."""
    input:
        model="results/models/{model}/model.json",
        weights=naming.texts_weights,
        raws=naming.texts_raws,
        samples=naming.texts_samples,
    output:
        cache="results/multimodal_sae/{model}/texts/{coder}.h5",
    wildcard_constraints:
        coder="trained|untrained",
    log:
        "logs/multimodal_sae_cache_texts/{model}-{coder}.log",
    benchmark:
        "benchmarks/multimodal_sae_cache_texts/{model}-{coder}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site",
            samples="multimodal_sae.explain_texts.samples",
            length="multimodal_sae.explain_texts.length",
            dtype="multimodal_sae.explain_texts.dtype",
            promoted="multimodal_sae.explain_texts.promoted",
        ),
        kinds=naming.texts_kinds,
        code=code(
            "multimodal_sae_cache_texts", "vlmscope.models.{family:model}", *naming.texts_formats, lookup=paths.kinds
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_cache_texts.py"


rule multimodal_sae_name_texts:
    """Name latents by the texts that excite them most."""
    input:
        trained="results/multimodal_sae/{model}/texts/trained.h5",
        untrained="results/multimodal_sae/{model}/texts/untrained.h5",
        explainer=naming.texts_explainer,
    output:
        labels="results/multimodal_sae/{model}/texts/labels.parquet",
    log:
        "logs/multimodal_sae_name_texts/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_name_texts/{model}.tsv"
    params:
        settings=settings(
            by="multimodal_sae.explain_texts.by",
            latents="multimodal_sae.explain_texts.latents",
            window="multimodal_sae.explain_texts.window",
            examples="multimodal_sae.explain_texts.examples",
            highlight="multimodal_sae.explain_texts.highlight",
            cot="multimodal_sae.explain_texts.cot",
            logits="multimodal_sae.explain_texts.logits",
            max_new_tokens="multimodal_sae.explain_texts.max_new_tokens",
            explainer="multimodal_sae.explain.explainer",
            refiner="multimodal_sae.explain.refiner",
        ),
        # Here lie the answers of a killed run, for the next to go on from.
        state=naming.texts_state,
        code=code("multimodal_sae_name_texts", naming.family),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=1440, mem_gb=160),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_name_texts.py"


rule multimodal_sae_score_texts:
    """Rate names of latents by texts that they were not made from."""
    input:
        trained="results/multimodal_sae/{model}/texts/trained.h5",
        untrained="results/multimodal_sae/{model}/texts/untrained.h5",
        labels="results/multimodal_sae/{model}/texts/labels.parquet",
        explainer=naming.judge,
    output:
        explanations="results/multimodal_sae/{model}/texts/explanations.csv",
        rubric="results/multimodal_sae/{model}/texts/rubric.csv",
        meta="results/multimodal_sae/{model}/texts/rubric.meta.json",
    log:
        "logs/multimodal_sae_score_texts/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_score_texts/{model}.tsv"
    params:
        settings=settings(
            window="multimodal_sae.explain_texts.window",
            examples="multimodal_sae.explain_texts.examples",
            highlight="multimodal_sae.explain_texts.highlight",
            judge="multimodal_sae.explain.judge",
            resamples="multimodal_sae.explain_texts.resamples",
            seed="multimodal_sae.explain_texts.seed",
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_score_texts", naming.family),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_score_texts.py"
