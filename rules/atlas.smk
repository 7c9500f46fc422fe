# atlas: what no single system has - joint tables of all five for one model, each beside chance.
#
# NEEDS     results/{mmneuron,mm_neurons,xl_vlms,multimodal_sae,llava_interp}/{model}/, see the inputs of each rule
# MAKES     results/atlas/{model}/neurons.csv          domain neurons that write a word, beside random sets
#           results/atlas/{model}/directions.csv       latents that match words and concepts, beside random directions
#           results/atlas/{model}/depth.{csv,svg,png}  lens, neurons, concepts and blocked attention over depth
# SETTINGS  atlas, mmneuron.domains, mm_neurons.rank.activations, multimodal_sae.site
from vlmscope.atlas import plan as atlas_plan

atlas_files = atlas_plan.Plan(cfg)
atlas_resampling = {"bootstrap": "atlas.bootstrap", "seed": "atlas.seed"}
atlas_sets = {
    "domains": "mmneuron.domains",
    "activations": "mm_neurons.rank.activations",
    "k": "atlas.neurons.k",
}
atlas_about = settings(scale="scale", label="models.{model}.label")
# Manifests tell the companion of a table which model and pictures are behind it.
atlas_manifests = ["results/models/{model}/model.json", seen["raw"]]
atlas_neurons = {
    "domain_neurons": "results/mmneuron/{model}/neurons.parquet",
    "shapes": "results/mmneuron/{model}/neurons.json",
    "word_neurons": "results/mm_neurons/{model}/neurons.h5",
}
atlas_states = {"train": atlas_files.train, "test": atlas_files.test}


rule atlas:
    """Joint results of the five systems for every configured model."""
    input:
        expand(
            "results/atlas/{model}/{file}",
            model=cfg.run.atlas,
            file=["neurons.csv", "directions.csv", "depth.csv"],
        ),


rule atlas_neurons:
    """Whether the neurons that write a word are those of a domain."""
    input:
        **atlas_neurons,
        manifests=atlas_manifests,
    output:
        table=report(
            "results/atlas/{model}/neurons.csv",
            caption="../report/atlas_neurons.rst",
            category="Atlas",
            labels={"model": "{model}", "result": "domain and word neurons"},
        ),
        meta="results/atlas/{model}/neurons.meta.json",
    log:
        "logs/atlas_neurons/{model}.log",
    params:
        settings=settings(**atlas_sets, **atlas_resampling),
        words=atlas_files.words,
        about=atlas_about,
        code=code("atlas_neurons"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/atlas_neurons.py"


rule atlas_directions:
    """Whether latents of the autoencoder are the directions of words and concepts."""
    input:
        **atlas_states,
        weights=f"{sae.home}/sae.safetensors",
        dictionaries=atlas_files.concepts,
        manifests=atlas_manifests,
    output:
        table=report(
            "results/atlas/{model}/directions.csv",
            caption="../report/atlas_directions.rst",
            category="Atlas",
            labels={"model": "{model}", "result": "latents and concepts"},
        ),
        meta="results/atlas/{model}/directions.meta.json",
    log:
        "logs/atlas_directions/{model}.log",
    benchmark:
        "benchmarks/atlas_directions/{model}.tsv"
    params:
        settings=settings(site="multimodal_sae.site", draws="atlas.directions.draws", **atlas_resampling),
        sets=atlas_files.dictionaries,
        words=atlas_files.words,
        about=atlas_about,
        code=code("atlas_directions"),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=2 if cfg.scale == "tiny" else 32, minutes=120),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/atlas_directions.py"


rule atlas_depth:
    """In which depth each system finds what it looks for."""
    input:
        **atlas_neurons,
        **atlas_states,
        lens="results/llava_interp/{model}/lens_hit_rate.csv",
        sweep="results/llava_interp/{model}/knockout_layer_sweep.csv",
        manifests=atlas_manifests,
    output:
        table="results/atlas/{model}/depth.csv",
        meta="results/atlas/{model}/depth.meta.json",
        figure=report(
            "results/atlas/{model}/depth.svg",
            caption="../report/atlas_depth.rst",
            category="Atlas",
            labels={"model": "{model}", "result": "depth"},
        ),
        picture="results/atlas/{model}/depth.png",
    log:
        "logs/atlas_depth/{model}.log",
    params:
        settings=settings(
            **atlas_sets,
            buffer="atlas.runs.buffer",
            draws="atlas.directions.draws",
            **atlas_resampling,
        ),
        words=atlas_files.words,
        about=atlas_about,
        code=code("atlas_depth"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/atlas_depth.py"
