# XL-VLMs: states of chosen tokens, one vector per sample (arXiv 2406.08074, 2501.03012, 2508.12815).
#
# NEEDS     results/models/{model}/model.json, the captures named by xl_vlms.sets, their sample tables
# MAKES     results/xl_vlms/{model}/vectors/{set}.h5
# SETTINGS  xl_vlms.sets
from vlmscope.xl_vlms.sets.plan import Sets

sets = Sets(cfg)


rule xl_vlms_vectors:
    """Pick the states of a set from a capture."""
    input:
        model="results/models/{model}/model.json",
        index=sets.index,
        samples=sets.samples,
    output:
        vectors="results/xl_vlms/{model}/vectors/{set}.h5",
    log:
        "logs/xl_vlms_vectors/{model}-{set}.log",
    params:
        settings=settings(set="xl_vlms.sets.{set}"),
        code=code("xl_vlms_vectors"),
    group:
        "vectors"
    threads: 1
    resources:
        **cpu(mem_gb=1.5 if cfg.scale == "tiny" else 16, minutes=60),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/xl_vlms_vectors.py"
