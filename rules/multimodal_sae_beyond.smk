# multimodal-sae: beyond the published system - other seeds, duplicates and absorption, families, other directions.
#
# NEEDS     the autoencoder and its untrained control, the model, the samples of the cache, what the training reads,
#           results/mmneuron/{model}/neurons.parquet
# MAKES     results/multimodal_sae/{model}/beyond/patches.h5               states, words, active latents of patches
#           results/multimodal_sae/{model}/beyond/seeds/{seed}/            autoencoders of other seeds, with their logs
#           results/multimodal_sae/{model}/beyond/stability.csv            the same latents from other seeds?
#           results/multimodal_sae/{model}/beyond/stability_words.csv      and those of words
#           results/multimodal_sae/{model}/beyond/duplicates.csv, twins.csv    latents that say the same
#           results/multimodal_sae/{model}/beyond/absorption.csv           words whose own latent is silent
#           results/multimodal_sae/{model}/beyond/families.csv             groups of latents, beside chance
#           results/multimodal_sae/{model}/beyond/map.{csv,svg,png}        every latent with its group, word and place
#           results/multimodal_sae/{model}/beyond/concepts.csv             latents beside mean differences of words
#           results/multimodal_sae/{model}/beyond/neurons.csv, neurons_each.csv    latents beside domain neurons
# SETTINGS  multimodal_sae.beyond, .site, .train, .cache, .explain.segmenter
from vlmscope.multimodal_sae.beyond import job as beyond_job

beyond = beyond_job.Inputs(cfg, sae.hookpoint)


rule multimodal_sae_beyond:
    """What lies beyond the published system, for every configured model."""
    input:
        expand(
            "results/multimodal_sae/{model}/beyond/{file}.csv",
            model=cfg.run.multimodal_sae,
            file=["stability", "duplicates", "families", "concepts"],
        ),


rule multimodal_sae_patches:
    """Keep states, words, active latents and domain neurons of the patches of pictures."""
    input:
        model="results/models/{model}/model.json",
        trained=f"{sae.home}/sae.safetensors",
        untrained=f"{naming.control}/sae.safetensors",
        raws=sae.cached_raws,
        samples=sae.cached_samples,
        neurons=beyond.neurons,
    output:
        patches=beyond.patches,
    log:
        "logs/multimodal_sae_patches/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_patches/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site",
            segmenter="multimodal_sae.explain.segmenter",
            samples="multimodal_sae.beyond.samples",
            neurons="multimodal_sae.beyond.neurons",
            seed="multimodal_sae.beyond.seed",
        ),
        code=code("multimodal_sae_patches", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_patches.py"


rule multimodal_sae_retrain:
    """Train the autoencoder again from another seed, on the same states."""
    input:
        model=sae.model,
        indices=sae.indices,
        raws=sae.raws,
        samples=sae.samples,
    output:
        config=f"{beyond.other}/cfg.json",
        weights=f"{beyond.other}/sae.safetensors",
        log=f"{beyond.home}/seeds/{{seed}}/train_log.csv",
    wildcard_constraints:
        seed=r"\d+",
    log:
        "logs/multimodal_sae_retrain/{model}-{seed}.log",
    benchmark:
        "benchmarks/multimodal_sae_retrain/{model}-{seed}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", train="multimodal_sae.train"),
        data=sae.data,
        # Here lies what a killed run needs to go on; a finished one leaves it empty.
        state=f"{beyond.other}.state",
        code=code("multimodal_sae_retrain", "vlmscope.models.{family:model}", *sae.formats, lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=1440, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_retrain.py"


rule multimodal_sae_stability:
    """Match the latents of autoencoders of several seeds."""
    input:
        trained=f"{sae.home}/sae.safetensors",
        others=expand(f"{beyond.other}/sae.safetensors", seed=beyond.seeds, allow_missing=True),
        patches=beyond.patches,
    output:
        stability=report(
            f"{beyond.home}/stability.csv",
            caption="../report/multimodal_sae_stability.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "stability over seeds"},
        ),
        words=f"{beyond.home}/stability_words.csv",
        meta=f"{beyond.home}/stability.meta.json",
    log:
        "logs/multimodal_sae_stability/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_stability/{model}.tsv"
    params:
        settings=settings(
            own="multimodal_sae.beyond.stability",
            train="multimodal_sae.train.seed",
            resamples="multimodal_sae.beyond.resamples",
            seed="multimodal_sae.beyond.seed",
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_stability"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=3 if cfg.scale == "tiny" else 48, minutes=240),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_stability.py"


rule multimodal_sae_duplicates:
    """Find latents that say the same, and words whose own latent is silent."""
    input:
        trained=f"{sae.home}/sae.safetensors",
        untrained=f"{naming.control}/sae.safetensors",
        patches=beyond.patches,
    output:
        duplicates=report(
            f"{beyond.home}/duplicates.csv",
            caption="../report/multimodal_sae_duplicates.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "duplicates"},
        ),
        twins=f"{beyond.home}/twins.csv",
        absorption=report(
            f"{beyond.home}/absorption.csv",
            caption="../report/multimodal_sae_duplicates.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "absorption"},
        ),
        meta=f"{beyond.home}/duplicates.meta.json",
    log:
        "logs/multimodal_sae_duplicates/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_duplicates/{model}.tsv"
    params:
        settings=settings(
            duplicates="multimodal_sae.beyond.duplicates",
            absorption="multimodal_sae.beyond.absorption",
            draws="multimodal_sae.beyond.draws",
            resamples="multimodal_sae.beyond.resamples",
            seed="multimodal_sae.beyond.seed",
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_duplicates"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=3 if cfg.scale == "tiny" else 48, minutes=240),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_duplicates.py"


rule multimodal_sae_families:
    """Group latents by their directions, and draw a map of them."""
    input:
        trained=f"{sae.home}/sae.safetensors",
        patches=beyond.patches,
    output:
        families=f"{beyond.home}/families.csv",
        map=f"{beyond.home}/map.csv",
        figure=report(
            f"{beyond.home}/map.svg",
            caption="../report/multimodal_sae_map.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "map of latents"},
        ),
        picture=f"{beyond.home}/map.png",
        meta=f"{beyond.home}/families.meta.json",
    log:
        "logs/multimodal_sae_families/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_families/{model}.tsv"
    params:
        settings=settings(
            families="multimodal_sae.beyond.families",
            draws="multimodal_sae.beyond.draws",
            seed="multimodal_sae.beyond.seed",
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_families"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=3 if cfg.scale == "tiny" else 48, minutes=480),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_families.py"


rule multimodal_sae_beside:
    """Hold latents beside vectors of words and beside domain neurons."""
    input:
        trained=f"{sae.home}/sae.safetensors",
        patches=beyond.patches,
    output:
        concepts=report(
            f"{beyond.home}/concepts.csv",
            caption="../report/multimodal_sae_beside.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "latents and vectors of words"},
        ),
        neurons=report(
            f"{beyond.home}/neurons.csv",
            caption="../report/multimodal_sae_beside.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "latents and domain neurons"},
        ),
        each=f"{beyond.home}/neurons_each.csv",
        meta=f"{beyond.home}/concepts.meta.json",
    log:
        "logs/multimodal_sae_beside/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_beside/{model}.tsv"
    params:
        settings=settings(
            least="multimodal_sae.beyond.duplicates.least",
            draws="multimodal_sae.beyond.draws",
            resamples="multimodal_sae.beyond.resamples",
            seed="multimodal_sae.beyond.seed",
        ),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_beside"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=3 if cfg.scale == "tiny" else 48, minutes=240),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_beside.py"
