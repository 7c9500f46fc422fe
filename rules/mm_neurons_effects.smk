# MM_Neurons: what changed neurons do to captions - noise, zeros, and edits that turn one word into another.
#
# NEEDS     results/models/{model}/model.json, captions.parquet, nouns.parquet, neurons.h5, gradient.h5
# MAKES     results/mm_neurons/{model}/effects.parquet              neurons of nouns, and random ones, with noise or set to zero
#           results/mm_neurons/{model}/table_perturb.csv, table_perturb_examples.csv
#           results/mm_neurons/{model}/edits/{pair}-{method}.safetensors   one edit; beside it what it does, .parquet
#           results/mm_neurons/{model}/edits/stacked-{method}.parquet      what the edits of all pairs do at once
#           results/mm_neurons/{model}/table_edit.csv, table_edit_examples.csv
# SETTINGS  mm_neurons.perturb, mm_neurons.edit, mm_neurons.measures
from vlmscope.mm_neurons.edit.plan import Edits

edits = Edits(cfg)


wildcard_constraints:
    pair=flow.one_of(edits.pairs),
    method=flow.one_of(edits.methods),


rule mm_neurons_perturb:
    """Captions with noise on each noun's neurons, or without them, and the same with as many random ones."""
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
        **gpu(minutes=360, batch=32),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_perturb.py"


rule mm_neurons_perturb_tables:
    """What changing a noun's neurons does beside changing random ones, with intervals and examples."""
    input:
        model="results/models/{model}/model.json",
        captions="results/mm_neurons/{model}/captions.parquet",
        effects="results/mm_neurons/{model}/effects.parquet",
        manifests=manifests,
    output:
        table="results/mm_neurons/{model}/table_perturb.csv",
        examples="results/mm_neurons/{model}/table_perturb_examples.csv",
        meta="results/mm_neurons/{model}/table_perturb.meta.json",
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
        about=about,
        code=code("mm_neurons_perturb_tables", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_perturb_tables.py"


rule mm_neurons_edit:
    """Make an edit that turns one word into another, and measure what it does."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        captions="results/mm_neurons/{model}/captions.parquet",
    output:
        edit="results/mm_neurons/{model}/edits/{pair}-{method}.safetensors",
        rows="results/mm_neurons/{model}/edits/{pair}-{method}.parquet",
    log:
        "logs/mm_neurons_edit/{model}-{pair}-{method}.log",
    benchmark:
        "benchmarks/mm_neurons_edit/{model}-{pair}-{method}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            prompt=f"captures.{cfg.mm_neurons.capture}.prompt",
            begin=f"captures.{cfg.mm_neurons.capture}.begin",
            max_new_tokens=f"captures.{cfg.mm_neurons.capture}.max_new_tokens",
        ),
        edit=edits.made,
        pair=edits.pair,
        code=code(
            "mm_neurons_edit",
            f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, batch=8),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_edit.py"


rule mm_neurons_edit_stack:
    """Measure what the edits of all pairs do at once."""
    input:
        model="results/models/{model}/model.json",
        raw=f"results/data/{cfg.mm_neurons.dataset}/raw.json",
        samples=paths.captioned,
        captions="results/mm_neurons/{model}/captions.parquet",
        edits=edits.files,
    output:
        rows="results/mm_neurons/{model}/edits/stacked-{method}.parquet",
    log:
        "logs/mm_neurons_edit_stack/{model}-{method}.log",
    benchmark:
        "benchmarks/mm_neurons_edit_stack/{model}-{method}.tsv"
    params:
        settings=settings(
            kind=f"datasets.{cfg.mm_neurons.dataset}.kind",
            prompt=f"captures.{cfg.mm_neurons.capture}.prompt",
            begin=f"captures.{cfg.mm_neurons.capture}.begin",
            max_new_tokens=f"captures.{cfg.mm_neurons.capture}.max_new_tokens",
        ),
        choice=edits.choice,
        pairs=edits.every_pair,
        code=code(
            "mm_neurons_edit_stack",
            f"vlmscope.datasets.{cfg.datasets[cfg.mm_neurons.dataset].kind}",
            "vlmscope.models.{family:model}",
            lookup=paths.kinds,
        ),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=60, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_edit_stack.py"


rule mm_neurons_edit_tables:
    """Share of pictures on which edits work, on which they change nothing else, and examples."""
    input:
        rows=edits.rows,
        manifests=manifests,
    output:
        table="results/mm_neurons/{model}/table_edit.csv",
        examples="results/mm_neurons/{model}/table_edit_examples.csv",
        meta="results/mm_neurons/{model}/table_edit.meta.json",
    log:
        "logs/mm_neurons_edit_tables/{model}.log",
    params:
        settings=settings(bootstrap="mm_neurons.measures.bootstrap", seed="mm_neurons.measures.seed"),
        about=about,
        code=code("mm_neurons_edit_tables"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/mm_neurons_edit_tables.py"
