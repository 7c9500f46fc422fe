# atlas: what no single system has - joint tables of all five for one model, each beside chance.
#
# NEEDS     results/{mmneuron,mm_neurons,xl_vlms,multimodal_sae,llava_interp}/{model}/, see the inputs of each rule
# MAKES     results/atlas/{model}/neurons.csv          domain neurons that write a word, beside random sets
#           results/atlas/{model}/directions.csv       latents that match words and concepts, beside random directions
#           results/atlas/{model}/depth.{csv,svg,png}  lens, neurons, concepts and blocked attention over depth
#           results/atlas/{model}/records/{objects,steered}.parquet, shown.h5   all passes of the model
#           results/atlas/{model}/destroyed.csv        what goes with an object, beside as many other tokens
#           results/atlas/{model}/steering.csv, steering_dose.csv, steering.{svg,png}   ways to steer at equal effect
#           results/atlas/{model}/index.html           everything about a word on one page
# SETTINGS  atlas, llava_interp.objects, llava_interp.asking, llava_interp.ablation.value,
#           mmneuron.domains, mm_neurons.rank.activations, mm_neurons.edit.{preserve,ridge}, multimodal_sae.site
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
atlas_tables = {
    name: f"results/atlas/{{model}}/{name}.csv" for name in ("neurons", "directions", "depth", "destroyed", "steering")
}
atlas_states = {"train": atlas_files.train, "test": atlas_files.test}


rule atlas:
    """Joint results of the five systems for every configured model."""
    input:
        expand(
            "results/atlas/{model}/{file}",
            model=cfg.run.atlas,
            file=["neurons.csv", "directions.csv", "depth.csv", "destroyed.csv", "steering.csv", "index.html"],
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


rule atlas_runs:
    """Read pictures with and without their object, and steer to words that they do not show."""
    input:
        **seen,
        **atlas_neurons,
        train=atlas_files.train,
        model="results/models/{model}/model.json",
        vector="results/llava_interp/{model}/mean.safetensors",
        weights=f"{sae.home}/sae.safetensors",
    output:
        objects="results/atlas/{model}/records/objects.parquet",
        steered="results/atlas/{model}/records/steered.parquet",
        shown="results/atlas/{model}/shown.h5",
    log:
        "logs/atlas_runs/{model}.log",
    benchmark:
        "benchmarks/atlas_runs/{model}.tsv"
    params:
        settings=settings(
            **atlas_sets,
            site="multimodal_sae.site",
            objects="llava_interp.objects",
            asking="llava_interp.asking",
            value="llava_interp.ablation.value",
            preserve="mm_neurons.edit.preserve",
            ridge="mm_neurons.edit.ridge",
            runs="atlas.runs",
            steer="atlas.steer",
            pictures="atlas.show.pictures",
        ),
        words=atlas_files.words,
        code=code("atlas_runs", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **gpu(minutes=480, mem_gb=64, batch=16),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/atlas_runs.py"


rule atlas_destroyed:
    """Which concepts, latents and neurons go with an object."""
    input:
        records="results/atlas/{model}/records/objects.parquet",
        manifests=atlas_manifests,
    output:
        table=report(
            "results/atlas/{model}/destroyed.csv",
            caption="../report/atlas_destroyed.rst",
            category="Atlas",
            labels={"model": "{model}", "result": "what goes with an object"},
        ),
        meta="results/atlas/{model}/destroyed.meta.json",
    log:
        "logs/atlas_destroyed/{model}.log",
    params:
        settings=settings(**atlas_resampling),
        about=atlas_about,
        code=code("atlas_destroyed"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/atlas_destroyed.py"


rule atlas_steering:
    """Ways to steer beside each other, at equal effect and over strength."""
    input:
        steered="results/atlas/{model}/records/steered.parquet",
        manifests=atlas_manifests,
    output:
        table="results/atlas/{model}/steering.csv",
        dose="results/atlas/{model}/steering_dose.csv",
        meta="results/atlas/{model}/steering.meta.json",
        figure=report(
            "results/atlas/{model}/steering.svg",
            caption="../report/atlas_steering.rst",
            category="Atlas",
            labels={"model": "{model}", "result": "ways to steer"},
        ),
        picture="results/atlas/{model}/steering.png",
    log:
        "logs/atlas_steering/{model}.log",
    params:
        settings=settings(**atlas_resampling),
        about=atlas_about,
        code=code("atlas_steering"),
    group:
        "tables"
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/atlas_steering.py"


rule atlas_page:
    """A page on which a word is picked, with everything that all systems found about it."""
    input:
        **atlas_neurons,
        **atlas_tables,
        maps="results/atlas/{model}/shown.h5",
        hits="results/llava_interp/{model}/records/lens.parquet",
        listed="results/mm_neurons/{model}/catalogue_neurons.csv",
        dictionaries=atlas_files.concepts,
        templates=expand(
            page_parts,
            file=[
                *("base.html", "picker.html", "page.css", "neurons.css", "nouns.css", "page.js", "nouns.js"),
                *("atlas.html", "atlas.css", "atlas_marks.js", "atlas.js"),
            ],
        ),
    output:
        page=report(
            "results/atlas/{model}/index.html",
            caption="../report/atlas_page.rst",
            category="Atlas",
            labels={"model": "{model}", "result": "words"},
        ),
    log:
        "logs/atlas_page/{model}.log",
    params:
        settings=settings(
            domains="mmneuron.domains",
            activations="mm_neurons.rank.activations",
            method="xl_vlms.dictionaries.main",
            neurons="atlas.show.neurons",
        ),
        sets=atlas_files.dictionaries,
        words=atlas_files.words,
        look=settings(label="models.{model}.label", scale="scale", pixels="atlas.show.pixels"),
        code=code("atlas_page"),
    group:
        "pages"
    threads: 1
    resources:
        **cpu(mem_gb=4),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/atlas_page.py"
