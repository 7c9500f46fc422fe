# MM_Neurons: tables and pages for people - examples, gallery, catalogue of nouns.
#
# NEEDS     captions.parquet, nouns.parquet, neuron_tokens.parquet, neurons.h5, gradient.h5, maps.h5, effects.parquet
# MAKES     results/mm_neurons/{model}/table_examples.csv, table_examples.html    best neurons by every method
#           results/mm_neurons/{model}/gallery.html                               pictures, words, maps, effects
#           results/mm_neurons/{model}/catalogue.csv, catalogue_neurons.csv, catalogue.html
# SETTINGS  mm_neurons.show, mm_neurons.maps

noun_parts = ["base.html", "picker.html", "page.css", "neurons.css", "nouns.css", "page.js", "nouns.js"]


rule mm_neurons_look:
    """Examples, gallery and catalogue of every configured model."""
    input:
        expand(
            "results/mm_neurons/{model}/{page}.html",
            model=cfg.run.mm_neurons,
            page=["table_examples", "gallery", "catalogue"],
        ),


rule mm_neurons_examples:
    """The best neurons of every noun by every method, with their words."""
    input:
        captions="results/mm_neurons/{model}/captions.parquet",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        neurons=expand("results/mm_neurons/{{model}}/{lists}.h5", lists=["neurons", "gradient"]),
        templates=expand(page_parts, file=["examples.html", "examples.js", *noun_parts]),
    output:
        table="results/mm_neurons/{model}/table_examples.csv",
        page=report(
            "results/mm_neurons/{model}/table_examples.html",
            caption="../report/mm_neurons_examples.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "neurons by every method"},
        ),
    log:
        "logs/mm_neurons_examples/{model}.log",
    params:
        settings=settings(k="mm_neurons.rank.listed"),
        images=settings(images="mm_neurons.show.examples"),
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("mm_neurons_examples"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_examples.py"


rule mm_neurons_gallery:
    """A page to click words of captions and see their neurons, where they look, and what is written without them."""
    input:
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        neurons="results/mm_neurons/{model}/neurons.h5",
        maps="results/mm_neurons/{model}/maps.h5",
        effects="results/mm_neurons/{model}/effects.parquet",
        templates=expand(page_parts, file=["gallery.html", "gallery.js", *noun_parts]),
    output:
        page=report(
            "results/mm_neurons/{model}/gallery.html",
            caption="../report/mm_neurons_gallery.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "gallery"},
        ),
    log:
        "logs/mm_neurons_gallery/{model}.log",
    params:
        settings=settings(
            activations="mm_neurons.rank.activations",
            listed="mm_neurons.rank.listed",
            sizes="mm_neurons.maps.sizes",
            singles="mm_neurons.maps.singles",
            percentile="mm_neurons.maps.percentile",
            interpolation="mm_neurons.maps.interpolation",
            images="mm_neurons.show.images",
            sigma_mode="mm_neurons.perturb.sigma_mode",
        ),
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("mm_neurons_gallery"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_gallery.py"


rule mm_neurons_catalogue:
    """Every noun with the neurons that come back in picture after picture, made-up nouns apart."""
    input:
        nouns="results/mm_neurons/{model}/nouns.parquet",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        neurons="results/mm_neurons/{model}/neurons.h5",
        templates=expand(page_parts, file=["catalogue.html", "catalogue.js", *noun_parts]),
    output:
        catalogue="results/mm_neurons/{model}/catalogue.csv",
        neurons="results/mm_neurons/{model}/catalogue_neurons.csv",
        page=report(
            "results/mm_neurons/{model}/catalogue.html",
            caption="../report/mm_neurons_catalogue.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "catalogue of nouns"},
        ),
    log:
        "logs/mm_neurons_catalogue/{model}.log",
    params:
        settings=settings(k="mm_neurons.show.k", listed="mm_neurons.rank.listed"),
        look=settings(label="models.{model}.label", scale="scale"),
        code=code("mm_neurons_catalogue"),
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_catalogue.py"
