# multimodal-sae: figures, cards and overlays of latents (arXiv 2411.14982, figures 3 to 18).
#
# NEEDS     results/multimodal_sae/{model}/{steering.csv,cache.h5,iou_classes.csv,explanations.csv,attribution.parquet}
# MAKES     results/multimodal_sae/{model}/steering_categories.csv          what became of every steered answer
#           results/multimodal_sae/{model}/steering_category_shares.csv     how often, beside random latents
#           results/multimodal_sae/{model}/figures/chosen.json              which latents are drawn
#           results/multimodal_sae/{model}/figures/steering_{feature}.{svg,png}   answers before and after
#           results/multimodal_sae/{model}/figures/concepts.png             best latents and their pictures
#           results/multimodal_sae/{model}/figures/iou_example_{feature}.png      a latent's IoU, picture by picture
#           results/multimodal_sae/{model}/attribution/                     a folder per case: overlays, coloured text
#           results/multimodal_sae/{model}/image_activations/               pictures and masks, in the released layout
# SETTINGS  multimodal_sae.figures, .explain, .steer, .attribution, .cache
from vlmscope.multimodal_sae.figures import job as figures_job

latent_figures = figures_job.Inputs(cfg, checkpoints)
sae_about = settings(label="models.{model}.label", scale="scale")
text_parts = ["base.html", "page.css", "page.js", *(f"attribution_text.{kind}" for kind in ["html", "css", "js"])]
album = {
    "shown": "multimodal_sae.figures.shown",
    "seed": "multimodal_sae.figures.seed",
    "size": "multimodal_sae.explain.size",
    "segmenter": "multimodal_sae.explain.segmenter",
    "box_threshold": "multimodal_sae.explain.box_threshold",
}


rule multimodal_sae_figures:
    """Cards, figures and overlays of latents, for every configured model."""
    input:
        latent_figures.always,
        latent_figures.chosen,


rule multimodal_sae_steer_categories:
    """Say what became of every steered answer."""
    input:
        steering="results/multimodal_sae/{model}/steering.csv",
        judge=latent_figures.judge,
    output:
        rows="results/multimodal_sae/{model}/steering_categories.csv",
        shares=report(
            "results/multimodal_sae/{model}/steering_category_shares.csv",
            caption="../report/multimodal_sae_categories.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "what steering does to answers"},
        ),
        meta="results/multimodal_sae/{model}/steering_category_shares.meta.json",
    log:
        "logs/multimodal_sae_steer_categories/{model}.log",
    benchmark:
        "benchmarks/multimodal_sae_steer_categories/{model}.tsv"
    params:
        settings=settings(
            judge="multimodal_sae.figures.judge",
            relevance="multimodal_sae.figures.relevance",
            bootstrap="multimodal_sae.figures.bootstrap",
            seed="multimodal_sae.figures.seed",
            model="multimodal_sae.explain.model",
        ),
        about=sae_about,
        # Here lie the answers of a killed run, for the next to go on from.
        state=latent_figures.state,
        code=code("multimodal_sae_steer_categories", naming.family),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=720, mem_gb=160),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_steer_categories.py"


checkpoint multimodal_sae_choose:
    """Choose the latents that are drawn."""
    input:
        categories="results/multimodal_sae/{model}/steering_categories.csv",
        classes="results/multimodal_sae/{model}/iou_classes.csv",
        explanations="results/multimodal_sae/{model}/explanations.csv",
    output:
        chosen="results/multimodal_sae/{model}/figures/chosen.json",
    log:
        "logs/multimodal_sae_choose/{model}.log",
    params:
        settings=settings(
            cards="multimodal_sae.figures.cards",
            concepts="multimodal_sae.figures.concepts",
            examples="multimodal_sae.figures.examples",
        ),
        code=code("multimodal_sae_choose"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_choose.py"


rule multimodal_sae_card:
    """Draw what a model answered before and after a latent was held."""
    input:
        categories="results/multimodal_sae/{model}/steering_categories.csv",
        raw=f"results/data/{steered.data}/raw.json",
        samples=f"results/data/{steered.data}/{steered.split}.parquet",
    output:
        figure="results/multimodal_sae/{model}/figures/steering_{feature}.svg",
        picture=report(
            "results/multimodal_sae/{model}/figures/steering_{feature}.png",
            caption="../report/multimodal_sae_card.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "steering, latent {feature}"},
        ),
    wildcard_constraints:
        feature=r"\d+",
    log:
        "logs/multimodal_sae_card/{model}/{feature}.log",
    params:
        settings=settings(
            mode="multimodal_sae.figures.mode",
            value="multimodal_sae.figures.value",
            pictures="multimodal_sae.figures.pictures",
        ),
        look=sae_about,
        code=code("multimodal_sae_card"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/multimodal_sae_card.py"


rule multimodal_sae_concepts:
    """Draw the best latents with the pictures that they are highest in."""
    input:
        chosen="results/multimodal_sae/{model}/figures/chosen.json",
        cache="results/multimodal_sae/{model}/cache.h5",
        segmenters=naming.segmenters,
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        picture=report(
            "results/multimodal_sae/{model}/figures/concepts.png",
            caption="../report/multimodal_sae_concepts.rst",
            category="Multimodal SAE",
            labels={"model": "{model}", "result": "what latents stand for"},
        ),
    log:
        "logs/multimodal_sae_concepts/{model}.log",
    params:
        settings=settings(**album),
        look=sae_about,
        code=code("multimodal_sae_concepts"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=16, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_concepts.py"


rule multimodal_sae_iou_example:
    """Draw a latent's region, what its name stands for and their IoU, picture by picture."""
    input:
        classes="results/multimodal_sae/{model}/iou_classes.csv",
        explanations="results/multimodal_sae/{model}/explanations.csv",
        cache="results/multimodal_sae/{model}/cache.h5",
        segmenters=naming.segmenters,
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        picture="results/multimodal_sae/{model}/figures/iou_example_{feature}.png",
    wildcard_constraints:
        feature=r"\d+",
    log:
        "logs/multimodal_sae_iou_example/{model}/{feature}.log",
    params:
        settings=settings(**album),
        look=sae_about,
        code=code("multimodal_sae_iou_example"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=16, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_iou_example.py"


rule multimodal_sae_attribution_cases:
    """Draw the latents that answers rest on over their pictures and questions."""
    input:
        rows="results/multimodal_sae/{model}/attribution.parquet",
        prompts="results/multimodal_sae/{model}/attribution_prompts.json",
        raw=f"results/data/{traced.data}/raw.json",
        samples=f"results/data/{traced.data}/{traced.split}.parquet",
        names=latent_figures.names,
        templates=expand(page_parts, file=text_parts),
    output:
        folder=directory("results/multimodal_sae/{model}/attribution"),
    log:
        "logs/multimodal_sae_attribution_cases/{model}.log",
    params:
        settings=settings(most="multimodal_sae.figures.traced"),
        look=sae_about,
        code=code("multimodal_sae_attribution_cases"),
    threads: 1
    resources:
        **cpu(mem_gb=16, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_attribution_cases.py"


rule multimodal_sae_image_activations:
    """Write the pictures of latents with their masks, in the released layout."""
    input:
        cache="results/multimodal_sae/{model}/cache.h5",
        raws=sae.cached_raws,
        samples=sae.cached_samples,
    output:
        folder=directory("results/multimodal_sae/{model}/image_activations"),
    log:
        "logs/multimodal_sae_image_activations/{model}.log",
    params:
        settings=settings(
            latents="multimodal_sae.figures.latents",
            count="multimodal_sae.explain.latents",
            examples="multimodal_sae.explain.examples",
            size="multimodal_sae.explain.size",
        ),
        code=code("multimodal_sae_image_activations"),
    threads: 1
    resources:
        **cpu(mem_gb=16, minutes=240),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/multimodal_sae_image_activations.py"
