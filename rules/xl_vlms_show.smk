# XL-VLMs: pages for people - cards of concepts, single pictures, concept shift, steering.
#
# NEEDS     dictionaries/{set}.h5, scored.parquet, dictionaries.csv, overlap.csv, concept_classes.csv, the comparisons of
#           xl_vlms.shift, steered/{answers,captions}.parquet, steer_effects.csv, steer_captions.csv, the pictures
# MAKES     results/xl_vlms/{model}/concepts_{set}_{method}.html, .png   a card per concept
#           results/xl_vlms/{model}/local_{set}.html                     held-out samples by their concepts
#           results/xl_vlms/{model}/shift_panels_{tuned}_{set}.html      concepts before and after fine-tuning
#           results/xl_vlms/{model}/steering.html                        answers and captions at every strength
# SETTINGS  xl_vlms.show
from vlmscope.xl_vlms.pages.plan import Pages

concept_pages = Pages(cfg)
xl_parts = ["base.html", "page.css", "neurons.css", "nouns.css", "xl.css", "page.js", "nouns.js", "xl.js"]


rule xl_vlms_look:
    """Pages of every configured model."""
    input:
        concept_pages.every(),


rule xl_vlms_concepts_page:
    """Words, pictures and scores of the concepts of a dictionary, to search and to put in order."""
    input:
        dictionaries="results/xl_vlms/{model}/dictionaries/{set}.h5",
        scored="results/xl_vlms/{model}/scored.parquet",
        quality="results/xl_vlms/{model}/dictionaries.csv",
        overlap="results/xl_vlms/{model}/overlap.csv",
        classes="results/xl_vlms/{model}/concept_classes.csv",
        raw=concept_pages.raw,
        templates=expand(page_parts, file=["xl_cards.html", "xl_concepts.html", "xl_concepts.js", *xl_parts]),
    output:
        page=report(
            "results/xl_vlms/{model}/concepts_{set}_{method}.html",
            caption="../report/xl_vlms_concepts_page.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "concepts of {set}, {method}"},
        ),
    wildcard_constraints:
        method=flow.one_of(cfg.xl_vlms.dictionaries.methods),
    log:
        "logs/xl_vlms_concepts_page/{model}-{set}-{method}.log",
    params:
        settings=settings(main="xl_vlms.dictionaries.main"),
        look=settings(label="models.{model}.label", scale="scale", pixels="xl_vlms.show.pixels"),
        code=code("xl_vlms_concepts_page", f"vlmscope.datasets.{cfg.datasets[concepts.dataset].kind}"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_concepts_page.py"


rule xl_vlms_concepts_figure:
    """The same concepts as a picture."""
    input:
        dictionaries="results/xl_vlms/{model}/dictionaries/{set}.h5",
        scored="results/xl_vlms/{model}/scored.parquet",
        quality="results/xl_vlms/{model}/dictionaries.csv",
        overlap="results/xl_vlms/{model}/overlap.csv",
        classes="results/xl_vlms/{model}/concept_classes.csv",
        raw=concept_pages.raw,
    output:
        figure="results/xl_vlms/{model}/concepts_{set}_{method}.png",
    wildcard_constraints:
        method=flow.one_of(cfg.xl_vlms.dictionaries.methods),
    log:
        "logs/xl_vlms_concepts_figure/{model}-{set}-{method}.log",
    params:
        settings=settings(main="xl_vlms.dictionaries.main"),
        about=settings(label="models.{model}.label", scale="scale"),
        code=code("xl_vlms_concepts_figure", f"vlmscope.datasets.{cfg.datasets[concepts.dataset].kind}"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_concepts_figure.py"


rule xl_vlms_local_page:
    """Held-out samples, each with its most active concepts."""
    input:
        dictionaries="results/xl_vlms/{model}/dictionaries/{set}.h5",
        scored="results/xl_vlms/{model}/scored.parquet",
        samples=concept_pages.held_out,
        raw=concept_pages.raw,
        templates=expand(page_parts, file=["picker.html", "xl_local.html", "xl_local.js", *xl_parts]),
    output:
        page=report(
            "results/xl_vlms/{model}/local_{set}.html",
            caption="../report/xl_vlms_local_page.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "concepts in pictures of {set}"},
        ),
    log:
        "logs/xl_vlms_local_page/{model}-{set}.log",
    params:
        settings=settings(
            method="xl_vlms.dictionaries.main",
            samples="xl_vlms.show.samples",
            strongest="xl_vlms.show.strongest",
        ),
        look=settings(label="models.{model}.label", scale="scale", pixels="xl_vlms.show.pixels"),
        code=code("xl_vlms_local_page"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_local_page.py"


rule xl_vlms_panels_page:
    """Concepts of a model, moved by their shifts, and of its fine-tune, side by side."""
    input:
        shift="results/xl_vlms/{model}/shifts/{tuned}-{set}.json",
        written=concept_pages.written,
        raw=concept_pages.raw,
        templates=expand(page_parts, file=["xl_cards.html", "xl_panels.html", "xl_panels.js", *xl_parts]),
    output:
        page=report(
            "results/xl_vlms/{model}/shift_panels_{tuned}_{set}.html",
            caption="../report/xl_vlms_panels_page.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "shift of {set}, {tuned}"},
        ),
    wildcard_constraints:
        model=flow.one_of(shifts.originals()),
        tuned=flow.one_of(shifts.tuned()),
    log:
        "logs/xl_vlms_panels_page/{model}-{tuned}-{set}.log",
    params:
        settings=settings(images="xl_vlms.show.images"),
        look=settings(label="models.{model}.label", scale="scale", pixels="xl_vlms.show.pixels"),
        code=code("xl_vlms_panels_page"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_panels_page.py"


rule xl_vlms_steering_page:
    """A slider over the strength of every steering vector, with answers and captions of sample pictures."""
    input:
        answered=concept_pages.answered,
        described=concept_pages.described,
        templates=expand(page_parts, file=["picker.html", "xl_steering.html", "xl_steering.js", *xl_parts]),
    output:
        page=report(
            "results/xl_vlms/{model}/steering.html",
            caption="../report/xl_vlms_steering_page.rst",
            category="XL-VLMs",
            labels={"model": "{model}", "result": "steering, a slider"},
        ),
    log:
        "logs/xl_vlms_steering_page/{model}.log",
    params:
        settings=settings(vectors="xl_vlms.vectors", per_type="xl_vlms.show.questions"),
        look=settings(label="models.{model}.label", scale="scale", pixels="xl_vlms.show.pixels"),
        code=code("xl_vlms_steering_page"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_steering_page.py"
