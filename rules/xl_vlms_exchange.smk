# XL-VLMs: feature files of the released code, in and out (docs/formats.md).
#
# NEEDS     results/xl_vlms/{model}/vectors/{set}.h5; for what is imported xl_vlms.exchange.imported
# MAKES     results/xl_vlms/{model}/vectors/{set}.h5              imported
#           results/xl_vlms/{model}/released/features/{set}.pth   exported
# SETTINGS  xl_vlms.exchange


# What is imported is not made.
ruleorder: xl_vlms_import > xl_vlms_vectors


rule xl_vlms_import:
    """Read the vectors of a set from a feature file of the released code."""
    input:
        file=sets.file,
    output:
        vectors="results/xl_vlms/{model}/vectors/{set}.h5",
    wildcard_constraints:
        model=sets.importing(),
    log:
        "logs/xl_vlms_import/{model}-{set}.log",
    params:
        settings=settings(position="xl_vlms.exchange.position", part="xl_vlms.exchange.part"),
        code=code("xl_vlms_import"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_import.py"


rule xl_vlms_export:
    """Write the vectors of a set as a feature file of the released code."""
    input:
        vectors="results/xl_vlms/{model}/vectors/{set}.h5",
    output:
        file="results/xl_vlms/{model}/released/features/{set}.pth",
    log:
        "logs/xl_vlms_export/{model}-{set}.log",
    params:
        family=sets.family,
        code=code("xl_vlms_export"),
    threads: 1
    resources:
        **cpu(mem_gb=4, minutes=30),
    conda:
        "../envs/gpu.yaml"
    script:
        "../scripts/xl_vlms_export.py"
