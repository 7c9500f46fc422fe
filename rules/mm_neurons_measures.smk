# MM_Neurons: measures - what a noun's neurons write, whether they stay, how specific they are, where they are.
#
# NEEDS     captions.parquet, nouns.parquet, neuron_tokens.parquet, neurons.h5, gradient.h5, maps.h5, shuffled*
# MAKES     results/mm_neurons/{model}/similarities.parquet           likeness of decoded words to nouns and captions
#           results/mm_neurons/{model}/table_semantic.csv, table_semantic_long.csv
#           results/mm_neurons/{model}/table_region_invariance.csv    the same picture with its patches shuffled
#           results/mm_neurons/{model}/table_cross_image.csv          other pictures with the same noun
#           results/mm_neurons/{model}/table_specificity.csv          other nouns of the same picture
#           results/mm_neurons/{model}/layers.csv, layer_profile.csv, fig_layers.{svg,png}
#           results/mm_neurons/{model}/table_image_sensitivity.csv    maps against where things are
#           results/mm_neurons/{model}/fig_measures.{svg,png}         these tables at a glance
#           results/mm_neurons/{model}/table_runtime.csv              time, memory and size of every stage
# SETTINGS  mm_neurons.measures, mm_neurons.maps
from vlmscope.mm_neurons.look.runtime_plan import Stages

stages = Stages(cfg, edits, layout.shard_names(cfg.captures[cfg.mm_neurons.capture].shards))
word_lists = expand("results/mm_neurons/{{model}}/{lists}.h5", lists=["neurons", "gradient"])
resampling = {"bootstrap": "mm_neurons.measures.bootstrap", "seed": "mm_neurons.measures.seed"}
scoring = {
    "bertscore": "mm_neurons.measures.bertscore",
    "moverscore": "mm_neurons.measures.moverscore",
    "bleurt": "mm_neurons.measures.bleurt",
}


rule mm_neurons_similarities:
    """Score the decoded words of every noun's neurons against the noun and the captions."""
    input:
        model="results/models/{model}/model.json",
        lists=word_lists,
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        captions="results/mm_neurons/{model}/captions.parquet",
        scorers=paths.scorers,
    output:
        similarities="results/mm_neurons/{model}/similarities.parquet",
    log:
        "logs/mm_neurons_similarities/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_similarities/{model}.tsv"
    params:
        settings=settings(
            ends="mm_neurons.measures.ends",
            references="mm_neurons.measures.references",
            texts="mm_neurons.measures.texts",
            bertscore_layer="mm_neurons.measures.bertscore_layer",
            **scoring,
        ),
        code=code("mm_neurons_similarities", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=120),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_similarities.py"


rule mm_neurons_semantic:
    """How like the words of a noun's neurons are to it, by method and number of neurons."""
    input:
        lists=word_lists,
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        similarities="results/mm_neurons/{model}/similarities.parquet",
        manifests=manifests,
    output:
        table=report(
            "results/mm_neurons/{model}/table_semantic.csv",
            caption="../report/mm_neurons_semantic.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "semantic sensitivity"},
        ),
        long="results/mm_neurons/{model}/table_semantic_long.csv",
        meta="results/mm_neurons/{model}/table_semantic.meta.json",
    log:
        "logs/mm_neurons_semantic/{model}.log",
    params:
        settings=settings(
            k="mm_neurons.measures.k",
            ends="mm_neurons.measures.ends",
            references="mm_neurons.measures.references",
            texts="mm_neurons.measures.texts",
            **scoring,
            **resampling,
        ),
        about=about,
        code=code("mm_neurons_semantic"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_semantic.py"


rule mm_neurons_region:
    """How many of a noun's neurons stay when the image tokens change places."""
    input:
        neurons="results/mm_neurons/{model}/neurons.h5",
        shuffled="results/mm_neurons/{model}/shuffled_neurons.h5",
        nouns="results/mm_neurons/{model}/shuffled.parquet",
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
        manifests=manifests,
    output:
        table=report(
            "results/mm_neurons/{model}/table_region_invariance.csv",
            caption="../report/mm_neurons_region.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "region invariance"},
        ),
        meta="results/mm_neurons/{model}/table_region_invariance.meta.json",
    log:
        "logs/mm_neurons_region/{model}.log",
    params:
        settings=settings(k="mm_neurons.measures.k", **resampling),
        about=about,
        code=code("mm_neurons_region"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_region.py"


rule mm_neurons_cross:
    """How many neurons a noun shares with itself in other pictures, and with other nouns."""
    input:
        lists=word_lists,
        manifests=manifests,
    output:
        table=report(
            "results/mm_neurons/{model}/table_cross_image.csv",
            caption="../report/mm_neurons_cross.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "cross-image invariance"},
        ),
        meta="results/mm_neurons/{model}/table_cross_image.meta.json",
    log:
        "logs/mm_neurons_cross/{model}.log",
    params:
        settings=settings(k="mm_neurons.measures.k", m_images="mm_neurons.measures.m_images", **resampling),
        about=about,
        code=code("mm_neurons_cross"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_cross.py"


rule mm_neurons_specificity:
    """How few neurons the nouns of a picture share."""
    input:
        lists=word_lists,
        manifests=manifests,
    output:
        table=report(
            "results/mm_neurons/{model}/table_specificity.csv",
            caption="../report/mm_neurons_specificity.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "specificity"},
        ),
        meta="results/mm_neurons/{model}/table_specificity.meta.json",
    log:
        "logs/mm_neurons_specificity/{model}.log",
    params:
        settings=settings(k="mm_neurons.measures.k", **resampling),
        about=about,
        code=code("mm_neurons_specificity"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_specificity.py"


rule mm_neurons_layers:
    """In which layers the neurons of nouns are."""
    input:
        lists=word_lists,
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
    output:
        table="results/mm_neurons/{model}/layers.csv",
        profile="results/mm_neurons/{model}/layer_profile.csv",
        figure=report(
            "results/mm_neurons/{model}/fig_layers.svg",
            caption="../report/mm_neurons_layers.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "layers of the neurons"},
        ),
        picture="results/mm_neurons/{model}/fig_layers.png",
    log:
        "logs/mm_neurons_layers/{model}.log",
    params:
        settings=settings(k="mm_neurons.measures.k", **resampling),
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("mm_neurons_layers"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_layers.py"


rule mm_neurons_sensitivity:
    """Whether the neurons of a noun are active where the thing is, against random neurons."""
    input:
        maps="results/mm_neurons/{model}/maps.h5",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        manifests=manifests,
    output:
        table=report(
            "results/mm_neurons/{model}/table_image_sensitivity.csv",
            caption="../report/mm_neurons_sensitivity.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "image sensitivity"},
        ),
        meta="results/mm_neurons/{model}/table_image_sensitivity.meta.json",
    log:
        "logs/mm_neurons_sensitivity/{model}.log",
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            k="mm_neurons.measures.k",
            percentile="mm_neurons.maps.percentile",
            interpolation="mm_neurons.maps.interpolation",
            **resampling,
        ),
        about=about,
        code=code("mm_neurons_sensitivity", f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_sensitivity.py"


rule mm_neurons_measures:
    """Draw the measures of nouns' neurons side by side."""
    input:
        semantic_long="results/mm_neurons/{model}/table_semantic_long.csv",
        region="results/mm_neurons/{model}/table_region_invariance.csv",
        cross="results/mm_neurons/{model}/table_cross_image.csv",
        specific="results/mm_neurons/{model}/table_specificity.csv",
    output:
        figure=report(
            "results/mm_neurons/{model}/fig_measures.svg",
            caption="../report/mm_neurons_measures.rst",
            category="MM_Neurons",
            labels={"model": "{model}", "result": "measures"},
        ),
        picture="results/mm_neurons/{model}/fig_measures.png",
    log:
        "logs/mm_neurons_measures/{model}.log",
    params:
        title=settings(scale="scale", label="models.{model}.label"),
        code=code("mm_neurons_measures"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_measures.py"


rule mm_neurons_runtime:
    """Time, memory and size of every stage that works on a model."""
    input:
        stages.files,
    output:
        table="results/mm_neurons/{model}/table_runtime.csv",
    log:
        "logs/mm_neurons_runtime/{model}.log",
    params:
        stages=stages.plan,
        code=code("mm_neurons_runtime"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_runtime.py"
