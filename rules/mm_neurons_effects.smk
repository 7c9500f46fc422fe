# MM_Neurons: what changed neurons do to captions - noise on them, and edits that turn one word into another.
#
# NEEDS     results/models/{model}/model.json, captions.parquet, nouns.parquet, neurons.h5, gradient.h5
# MAKES     results/mm_neurons/{model}/effects.parquet              noise on the neurons of nouns and on random ones
#           results/mm_neurons/{model}/table_perturb.csv, table_perturb_examples.csv
# SETTINGS  mm_neurons.perturb, mm_neurons.edit, mm_neurons.measures


rule mm_neurons_perturb:
    """Captions under noise on the output weights of each noun's neurons, and of as many random ones."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        captions="results/mm_neurons/{model}/captions.parquet",
        nouns="results/mm_neurons/{model}/nouns.parquet",
        neurons=expand("results/mm_neurons/{{model}}/{lists}.h5", lists=["neurons", "gradient"]),
    output:
        effects="results/mm_neurons/{model}/effects.parquet",
    log:
        "logs/mm_neurons_perturb/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_perturb/{model}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            prompt=f"captures.{cfg.mm_neurons.capture}.prompt",
            begin=f"captures.{cfg.mm_neurons.capture}.begin",
            max_new_tokens=f"captures.{cfg.mm_neurons.capture}.max_new_tokens",
            perturb="mm_neurons.perturb",
        ),
        code=code(
            "mm_neurons_perturb",
            f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=240, batch=32),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_perturb.py"


rule mm_neurons_perturb_tables:
    """Noise on a noun's neurons beside noise on random ones, with intervals and examples."""
    input:
        model="results/models/{model}/model.json",
        captions="results/mm_neurons/{model}/captions.parquet",
        effects="results/mm_neurons/{model}/effects.parquet",
    output:
        table="results/mm_neurons/{model}/table_perturb.csv",
        examples="results/mm_neurons/{model}/table_perturb_examples.csv",
    log:
        "logs/mm_neurons_perturb_tables/{model}.log",
    params:
        settings=settings(
            bertscore="mm_neurons.measures.bertscore",
            bertscore_layer="mm_neurons.measures.bertscore_layer",
            moverscore="mm_neurons.measures.moverscore",
            bleurt="mm_neurons.measures.bleurt",
            bootstrap="mm_neurons.measures.bootstrap",
            seed="mm_neurons.measures.seed",
        ),
        code=code("mm_neurons_perturb_tables", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_perturb_tables.py"
