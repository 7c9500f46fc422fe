# multimodal-sae: sparse autoencoders (arXiv 2411.14982) - training, and how good they are.
#
# NEEDS     results/models/{model}/model.json, the captures named by multimodal_sae.train and multimodal_sae.quality
# MAKES     results/multimodal_sae/{model}/sae/{hookpoint}/{cfg.json,sae.safetensors}   the released layout
#           results/multimodal_sae/{model}/train_log.csv, train_curve.{svg,png}
#           results/multimodal_sae/{model}/sae_quality.csv, feature_density.{csv,svg,png}   on held-out pictures
#           results/multimodal_sae/{model}/cache.h5                                active latents of pictures
#           results/multimodal_sae/{model}/released/                               files of the released code
# SETTINGS  multimodal_sae.site, .train, .quality, .cache
from vlmscope.multimodal_sae.train import job as sae_job

sae = sae_job.Inputs(cfg)


rule multimodal_sae_coder:
    """Autoencoder, its quality and the active latents of pictures, for every configured model."""
    input:
        expand(
            "results/multimodal_sae/{model}/{name}",
            model=cfg.run.multimodal_sae,
            name=["train_log.csv", "sae_quality.csv", "cache.h5", "released/files.json"],
        ),


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
        figure=report(
            "results/multimodal_sae/{model}/train_curve.svg",
            caption="../report/multimodal_sae_train.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "training"},
        ),
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
    # On several GPUs a process each: --set-resources multimodal_sae_train:gpu=4
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
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "quality"},
        ),
        meta="results/multimodal_sae/{model}/sae_quality.meta.json",
        density="results/multimodal_sae/{model}/feature_density.csv",
        figure=report(
            "results/multimodal_sae/{model}/feature_density.svg",
            caption="../report/multimodal_sae_density.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "density of latents"},
        ),
        picture="results/multimodal_sae/{model}/feature_density.png",
    log:
        "logs/multimodal_sae_quality/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_quality/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", train="multimodal_sae.train", quality="multimodal_sae.quality"),
        data=sae.data,
        held_out=sae.held_out,
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_quality", "vlmscope.models.{family:model}", *sae.formats, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_quality.py"


rule multimodal_sae_cache:
    """Keep the active latents of pictures, as they are found."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        cache="results/multimodal_sae/{model}/cache.h5",
    log:
        "logs/multimodal_sae_cache/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_cache/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site",
            data="multimodal_sae.cache.data",
            split="multimodal_sae.cache.split",
            samples="multimodal_sae.cache.samples",
            scope="multimodal_sae.cache.scope",
            dtype="multimodal_sae.cache.dtype",
        ),
        code=code("multimodal_sae_cache", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_cache.py"


rule multimodal_sae_export:
    """Write autoencoder and cache in the layouts of the released code and of SAELens."""
    input:
        weights=f"{sae.home}/sae.safetensors",
        cache="results/multimodal_sae/{model}/cache.h5",
    output:
        files="results/multimodal_sae/{model}/released/files.json",
    log:
        "logs/multimodal_sae_export/{model}.log",
    params:
        settings=settings(splits="multimodal_sae.cache.splits", model="models.{model}.checkpoint"),
        code=code("multimodal_sae_export"),
    threads: 1
    resources:
        **cpu(mem_gb=16, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_export.py"
