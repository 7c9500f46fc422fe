# multimodal-sae: sparse autoencoders (arXiv 2411.14982) - training, and how good they are.
#
# NEEDS     results/models/{model}/model.json, the captures named by multimodal_sae.train and multimodal_sae.quality
# MAKES     results/multimodal_sae/{model}/sae/{hookpoint}/{cfg.json,sae.safetensors}   the released layout
#           results/multimodal_sae/{model}/train_log.csv, train_curve.{svg,png}
#           results/multimodal_sae/{model}/sae_quality.csv, feature_density.{csv,svg,png}   on held-out pictures
# SETTINGS  multimodal_sae.site, multimodal_sae.train, multimodal_sae.quality
from vlmscope.multimodal_sae import job as sae_job

sae = sae_job.Inputs(cfg)


rule multimodal_sae_train:
    """Train an autoencoder on the states of one site."""
    input:
        model=sae.model,
        indices=sae.indices,
        raws=sae.raws,
        samples=sae.samples,
    output:
        config=f"{sae.home}/cfg.json",
        weights=f"{sae.home}/sae.safetensors",
        log="results/multimodal_sae/{model}/train_log.csv",
        figure="results/multimodal_sae/{model}/train_curve.svg",
        picture="results/multimodal_sae/{model}/train_curve.png",
    log:
        "logs/multimodal_sae_train/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_train/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", train="multimodal_sae.train"),
        data=sae.data,
        look=settings(label="models.{model}.label", scale="scale"),
        # Here lies what a killed run needs to go on; a finished one leaves it empty.
        state=f"{sae.home}.state",
        code=code("multimodal_sae_train", "vlmscope.models.{family:model}", *sae.formats, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    # On several GPUs a process each: profiles/slurm/config.yaml sets how many.
    resources:
        **gpu(minutes=1440, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_train.py"


rule multimodal_sae_quality:
    """Measure an autoencoder on held-out pictures, in the model's loop too, beside controls."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        indices=sae.indices,
        raws=sae.raws,
        samples=sae.samples,
        held_raws=sae.held_out_raws,
        held_samples=sae.held_out_samples,
    output:
        quality=report(
            "results/multimodal_sae/{model}/sae_quality.csv",
            caption="../report/multimodal_sae_quality.rst",
            category="Sparse autoencoders",
            labels={"model": "{model}", "result": "quality"},
        ),
        density="results/multimodal_sae/{model}/feature_density.csv",
        figure="results/multimodal_sae/{model}/feature_density.svg",
        picture="results/multimodal_sae/{model}/feature_density.png",
    log:
        "logs/multimodal_sae_quality/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_quality/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site", train="multimodal_sae.train", quality="multimodal_sae.quality"
        ),
        data=sae.data,
        held_out=sae.held_out,
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_quality", "vlmscope.models.{family:model}", *sae.formats, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_quality.py"
