# MM_Neurons: neurons as words, and neurons ranked by what they do for each noun of a caption.
#
# NEEDS     results/models/{model}/model.json, captions.parquet, nouns.parquet, the capture named by mm_neurons.capture
# MAKES     results/mm_neurons/{model}/neuron_tokens.parquet      tokens of every neuron, from both ends
# SETTINGS  mm_neurons.rank


rule mm_neurons_words:
    """Decode every neuron to the tokens that its output weights raise and lower most."""
    input:
        model="results/models/{model}/model.json",
    output:
        tokens="results/mm_neurons/{model}/neuron_tokens.parquet",
    log:
        "logs/mm_neurons_words/{model}.log",
    benchmark:
        "benchmarks/mm_neurons_words/{model}.tsv"
    params:
        settings=settings(decode_k="mm_neurons.rank.decode_k", fold_norm="mm_neurons.rank.fold_norm"),
        code=code("mm_neurons_words", "vlmscope.models.{family:model}", lookup=paths.kinds),
    threads: resources.threads(paper=8)
    resources:
        **cpu(mem_gb=8, minutes=60),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/mm_neurons_words.py"
