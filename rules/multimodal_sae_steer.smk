# multimodal-sae: steering by latents, and which of them an answer rests on (arXiv 2411.14982, figures 5 to 18, table 9).
#
# NEEDS     results/models/{model}/model.json, the autoencoder, pictures of .steer, .attribution and .probe
# MAKES     results/multimodal_sae/{model}/steering.csv           every answer without and with a latent held
#           results/multimodal_sae/{model}/steer_features.csv     which latents, and why
#           results/multimodal_sae/{model}/steer_effects.csv      how often the word is named, beside controls
#           results/multimodal_sae/{model}/attribution.parquet    every active latent's share in an answer, by token
#           results/multimodal_sae/{model}/attribution_modes.csv  how close the ways to compute it come to the truth
#           results/multimodal_sae/{model}/attribution_filters.json   the latents with the largest share
#           results/multimodal_sae/{model}/attribution_prompts.json   what was asked, token by token
#           results/multimodal_sae/{model}/probe/                 latents that stand out in single pictures and texts
# SETTINGS  multimodal_sae.site, .steer, .attribution, .probe
steered, traced, looked_at = cfg.multimodal_sae.steer, cfg.multimodal_sae.attribution, cfg.multimodal_sae.probe


rule multimodal_sae_steer:
    """Steering by latents, attribution and probes, for every configured model."""
    input:
        expand(
            "results/multimodal_sae/{model}/{file}",
            model=cfg.run.multimodal_sae,
            file=["steer_effects.csv", "attribution_modes.csv", "probe"],
        ),


rule multimodal_sae_steer_answers:
    """Ask about pictures with latents held, and count what the answers name."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        found_raw=f"results/data/{steered.found}/raw.json",
        found=f"results/data/{steered.found}/{steered.found_split}.parquet",
        asked_raw=f"results/data/{steered.data}/raw.json",
        asked=f"results/data/{steered.data}/{steered.split}.parquet",
    output:
        steering="results/multimodal_sae/{model}/steering.csv",
        features="results/multimodal_sae/{model}/steer_features.csv",
        effects=report(
            "results/multimodal_sae/{model}/steer_effects.csv",
            caption="../report/multimodal_sae_steer.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "steering"},
        ),
        meta="results/multimodal_sae/{model}/steer_effects.meta.json",
    log:
        "logs/multimodal_sae_steer_answers/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_steer_answers/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", steer="multimodal_sae.steer"),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_steer_answers", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_steer_answers.py"


rule multimodal_sae_attribute:
    """Trace answers about pictures back to latents."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        raw=f"results/data/{traced.data}/raw.json",
        samples=f"results/data/{traced.data}/{traced.split}.parquet",
    output:
        rows="results/multimodal_sae/{model}/attribution.parquet",
        modes=report(
            "results/multimodal_sae/{model}/attribution_modes.csv",
            caption="../report/multimodal_sae_attribution.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "attribution"},
        ),
        filters="results/multimodal_sae/{model}/attribution_filters.json",
        prompts="results/multimodal_sae/{model}/attribution_prompts.json",
        meta="results/multimodal_sae/{model}/attribution_modes.meta.json",
    log:
        "logs/multimodal_sae_attribute/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_attribute/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", attribution="multimodal_sae.attribution"),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_attribute", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_attribute.py"


rule multimodal_sae_probe:
    """Write the latents that stand out in pictures and texts."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        raw=f"results/data/{looked_at.data}/raw.json",
        samples=f"results/data/{looked_at.data}/{looked_at.split}.parquet",
    output:
        folder=directory("results/multimodal_sae/{model}/probe"),
    log:
        "logs/multimodal_sae_probe/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_probe/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", probe="multimodal_sae.probe"),
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_probe", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_probe.py"
