# llava-interp: pages for people - pictures with what the vocabulary says of their patches, an overview, a comparison.
#
# NEEDS     results/models/{model}/model.json, lens.h5, records/{lens,lens_maps,ablation,vqa,knockout}.parquet
# MAKES     results/llava_interp/{model}/views.h5                       attention, entropy, other lenses of those pictures
#           results/llava_interp/{model}/lens/index.html, SAMPLE.html   overview, and a page per picture
#           results/llava_interp/compare.html                           pages of all configured models side by side
# SETTINGS  llava_interp.show, llava_interp.views, llava_interp.lens.threshold, llava_interp.answers, llava_interp.synonyms

patch_parts = ["base.html", "page.css", "neurons.css", "patches.css", "page.js"]


rule llava_interp_look:
    """Pages of every configured model."""
    input:
        expand("results/llava_interp/{model}/lens", model=cfg.run.llava_interp),
        "results/llava_interp/compare.html",


rule llava_interp_views:
    """What states of the shown pictures tell beside the lens: attention, entropy, other lenses."""
    input:
        **seen,
        model="results/models/{model}/model.json",
        shown="results/llava_interp/{model}/lens.h5",
        maps=paths.affine_lens,
    output:
        views="results/llava_interp/{model}/views.h5",
    log:
        "logs/llava_interp_views/{model}.log",
    benchmark:
        "benchmarks/llava_interp_views/{model}.tsv"
    params:
        settings=settings(
            asking="llava_interp.asking", question="llava_interp.lens.question", views="llava_interp.views"
        ),
        code=code("llava_interp_views", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, batch=8),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_views.py"


rule llava_interp_pages:
    """What the vocabulary says of every patch, picture by picture."""
    input:
        shown="results/llava_interp/{model}/lens.h5",
        views="results/llava_interp/{model}/views.h5",
        hits="results/llava_interp/{model}/records/lens.parquet",
        maps="results/llava_interp/{model}/records/lens_maps.parquet",
        ablation="results/llava_interp/{model}/records/ablation.parquet",
        vqa="results/llava_interp/{model}/records/vqa.parquet",
        knockout="results/llava_interp/{model}/records/knockout.parquet",
        templates=expand(
            page_parts,
            file=[
                *("patches.html", "patches.js", "patches_data.js", "patches_views.js", "patches_looks.js"),
                *("patches_index.html", "patches_index.js", *patch_parts),
            ],
        ),
    output:
        # Pages link to each other: no part of the report, which is one file.
        folder=directory("results/llava_interp/{model}/lens"),
    log:
        "logs/llava_interp_pages/{model}.log",
    params:
        settings=settings(
            pages="llava_interp.show.pages",
            threshold="llava_interp.lens.threshold",
            answers="llava_interp.answers",
            synonyms="llava_interp.synonyms",
        ),
        look=settings(label="models.{model}.label", scale="scale", pixels="llava_interp.show.pixels"),
        code=code("llava_interp_pages"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_pages.py"


rule llava_interp_compare:
    """The same pictures read by several models, side by side."""
    input:
        shown=expand("results/llava_interp/{model}/lens.h5", model=cfg.run.llava_interp),
        folders=expand("results/llava_interp/{model}/lens", model=cfg.run.llava_interp),
        templates=expand(page_parts, file=["patches_compare.html", "patches_compare.js", *patch_parts]),
    output:
        page=report(
            "results/llava_interp/compare.html",
            caption="../report/llava_interp_compare.rst",
            category="LLaVA-Interp",
            labels={"model": "all", "result": "models side by side"},
        ),
    log:
        "logs/llava_interp_compare/all.log",
    params:
        models=cfg.run.llava_interp,
        labels=settings(**dict(zip(cfg.run.llava_interp, expand("models.{model}.label", model=cfg.run.llava_interp)))),
        settings=settings(most="llava_interp.show.pages"),
        look=settings(scale="scale"),
        code=code("llava_interp_compare"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_compare.py"
