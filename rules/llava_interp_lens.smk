# llava-interp: visual tokens as words - the logit lens at the patches of objects.
#
# NEEDS     results/models/{model}/model.json, the dataset named by llava_interp.objects
# MAKES     results/llava_interp/{model}/records/lens.parquet, lens_maps.parquet   hits and overlaps by picture and layer
#           results/llava_interp/{model}/lens.h5                                   what pages show of the first pictures
#           results/llava_interp/{model}/lens_hit_rate.csv, lens_hit_summary.csv, lens_hit_rate.svg, lens_hit_rate.png
#           results/llava_interp/{model}/lens_segmentation.csv, lens_segmentation_mean.csv, lens_segmentation.svg, .png
# SETTINGS  llava_interp.objects, llava_interp.asking, llava_interp.lens


rule llava_interp_lens:
    """Read every visual position of every layer with the model's own unembedding."""
    input:
        **seen,
        model="results/models/{model}/model.json",
    output:
        hits="results/llava_interp/{model}/records/lens.parquet",
        maps="results/llava_interp/{model}/records/lens_maps.parquet",
        shown="results/llava_interp/{model}/lens.h5",
    log:
        "logs/llava_interp_lens/{model}.log",
    benchmark:
        "benchmarks/llava_interp_lens/{model}.tsv"
    params:
        settings=settings(objects="llava_interp.objects", asking="llava_interp.asking", lens="llava_interp.lens"),
        code=code("llava_interp_lens", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120, batch=8),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/llava_interp_lens.py"


rule llava_interp_lens_tables:
    """In how many patches of an object the vocabulary names it, and how well it finds it."""
    input:
        hits="results/llava_interp/{model}/records/lens.parquet",
        maps="results/llava_interp/{model}/records/lens_maps.parquet",
        manifests=behind_visual,
    output:
        rate=report(
            "results/llava_interp/{model}/lens_hit_rate.csv",
            caption="../report/llava_interp_lens.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "hit rate of the lens"},
        ),
        summary="results/llava_interp/{model}/lens_hit_summary.csv",
        maps="results/llava_interp/{model}/lens_segmentation.csv",
        means="results/llava_interp/{model}/lens_segmentation_mean.csv",
        meta="results/llava_interp/{model}/lens_hit_rate.meta.json",
    log:
        "logs/llava_interp_lens_tables/{model}.log",
    params:
        settings=settings(bootstrap="llava_interp.bootstrap", seed="llava_interp.seed", family="models.{model}.family"),
        about=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_lens_tables"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_lens_tables.py"


rule llava_interp_lens_figures:
    """Layers that name objects, and maps of their class."""
    input:
        rate="results/llava_interp/{model}/lens_hit_rate.csv",
        means="results/llava_interp/{model}/lens_segmentation_mean.csv",
        shown="results/llava_interp/{model}/lens.h5",
    output:
        figure=report(
            "results/llava_interp/{model}/lens_hit_rate.svg",
            caption="../report/llava_interp_lens.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "lens by layer"},
        ),
        picture="results/llava_interp/{model}/lens_hit_rate.png",
        maps=report(
            "results/llava_interp/{model}/lens_segmentation.svg",
            caption="../report/llava_interp_segmentation.rst",
            category="LLaVA-Interp",
            labels={"model": "{model}", "result": "the lens as a segmenter"},
        ),
        maps_picture="results/llava_interp/{model}/lens_segmentation.png",
    log:
        "logs/llava_interp_lens_figures/{model}.log",
    params:
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("llava_interp_lens_figures"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/llava_interp_lens_figures.py"
