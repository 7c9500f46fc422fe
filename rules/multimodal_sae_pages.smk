# multimodal-sae: pages to look at latents - the feature browser, regions of pictures, texts (arXiv 2411.14982, section 9).
#
# NEEDS     results/multimodal_sae/{model}/{cache.h5,sae/}; as .show.parts says: explanations.csv, steering.csv, attribution.parquet
# MAKES     results/multimodal_sae/{model}/directions.parquet      tokens that latents promote, latents near each other
#           results/multimodal_sae/{model}/texts.{h5,parquet}      active latents of texts, and their tokens
#           results/multimodal_sae/{model}/features/               index.html, latent-N.html, regions.html
#           results/multimodal_sae/{model}/text_view.html          texts colored by latents
# SETTINGS  multimodal_sae.show, multimodal_sae.texts, multimodal_sae.site
from vlmscope.multimodal_sae.look import job as look_job

sae_look, texts_read = look_job.Inputs(cfg), cfg.multimodal_sae.texts
sae_parts = ["base.html", "page.css", "neurons.css", "latents.css", "page.js", "latents.js"]


rule multimodal_sae_look:
    """Feature browser and text view of every configured model."""
    input:
        expand(
            "results/multimodal_sae/{model}/{page}", model=cfg.run.multimodal_sae, page=["features", "text_view.html"]
        ),


rule multimodal_sae_directions:
    """Tokens that decoder rows promote and suppress, and the latents nearest to each."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
    output:
        directions="results/multimodal_sae/{model}/directions.parquet",
    log:
        "logs/multimodal_sae_directions/{model}.log",
    params:
        settings=settings(tokens="multimodal_sae.show.tokens", neighbours="multimodal_sae.show.neighbours"),
        code=code("multimodal_sae_directions", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=16)
    resources:
        **cpu(mem_gb=32, minutes=240),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_directions.py"


rule multimodal_sae_texts:
    """Keep the active latents of texts without a picture."""
    input:
        model="results/models/{model}/model.json",
        weights=f"{sae.home}/sae.safetensors",
        samples=f"results/data/{texts_read.data}/{texts_read.split}.parquet",
    output:
        cache="results/multimodal_sae/{model}/texts.h5",
        tokens="results/multimodal_sae/{model}/texts.parquet",
    log:
        "logs/multimodal_sae_texts/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_texts/{model}.tsv"
    params:
        settings=settings(
            site="multimodal_sae.site",
            own="multimodal_sae.texts.own",
            samples="multimodal_sae.texts.samples",
            length="multimodal_sae.texts.length",
        ),
        code=code("multimodal_sae_texts", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, mem_gb=64),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_texts.py"


rule multimodal_sae_features:
    """A page per latent, an overview to search them, and a page to start from regions of pictures."""
    input:
        cache="results/multimodal_sae/{model}/cache.h5",
        directions="results/multimodal_sae/{model}/directions.parquet",
        texts=sae_look.texts,
        tokens=sae_look.tokens,
        explanations=sae_look.explanations,
        text_names=sae_look.text_names,
        steering=sae_look.steering,
        effects=sae_look.effects,
        attribution=sae_look.attribution,
        raws=sae.cached_raws,
        samples=sae.cached_samples,
        templates=expand(
            page_parts,
            file=[
                *("latents_index.html", "latents_index.js", "latent.html", "latent.js", "regions.html", "regions.js"),
                *sae_parts,
            ],
        ),
    output:
        # Pages link to each other: no part of the report, which is one file.
        folder=directory("results/multimodal_sae/{model}/features"),
    log:
        "logs/multimodal_sae_features/{model}.log",
    params:
        settings=settings(
            latents="multimodal_sae.show.latents",
            pictures="multimodal_sae.show.pictures",
            pixels="multimodal_sae.show.pixels",
            neighbours="multimodal_sae.show.neighbours",
            counted="multimodal_sae.show.counted",
            windows="multimodal_sae.show.windows",
            window="multimodal_sae.show.window",
            steered="multimodal_sae.show.steered",
            regions="multimodal_sae.show.regions",
            top="multimodal_sae.show.top",
        ),
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_features"),
    threads: 1
    resources:
        **cpu(mem_gb=16, minutes=120),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_features.py"


rule multimodal_sae_text_view:
    """Texts with their tokens colored by latents."""
    input:
        texts="results/multimodal_sae/{model}/texts.h5",
        tokens="results/multimodal_sae/{model}/texts.parquet",
        explanations=sae_look.explanations,
        text_names=sae_look.text_names,
        templates=expand(page_parts, file=["text_view.html", "text_view.js", "picker.html", *sae_parts]),
    output:
        page=report(
            "results/multimodal_sae/{model}/text_view.html",
            caption="../report/multimodal_sae_text_view.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "text view"},
        ),
    log:
        "logs/multimodal_sae_text_view/{model}.log",
    params:
        settings=settings(most="multimodal_sae.texts.shown", limit="multimodal_sae.show.latents"),
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("multimodal_sae_text_view"),
    threads: 1
    resources:
        **cpu(mem_gb=8),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_text_view.py"
