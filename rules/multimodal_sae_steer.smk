# multimodal-sae: steering by latents (arXiv 2411.14982, figures 5 to 8, 10 to 16, 18, table 9).
#
# NEEDS     results/models/{model}/model.json, the autoencoder, pictures of multimodal_sae.steer
# MAKES     results/multimodal_sae/{model}/steering.csv           every answer without and with a latent held
#           results/multimodal_sae/{model}/steer_features.csv     which latents, and why
#           results/multimodal_sae/{model}/steer_effects.csv      how often the word is named, beside controls
# SETTINGS  multimodal_sae.site, .steer
steered = cfg.multimodal_sae.steer


rule multimodal_sae_steer:
    """Steering by latents, for every configured model."""
    input:
        expand("results/multimodal_sae/{model}/steer_effects.csv", model=cfg.run.multimodal_sae),


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
            category="Sparse autoencoders",
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
