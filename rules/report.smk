# What a run leaves for its readers besides the results.
#
# NEEDS     nothing
# MAKES     results/report/config.yaml     the configuration as it took effect
# SETTINGS  all


rule report_config:
    """Write the configuration as it took effect, overlays and defaults merged."""
    output:
        "results/report/config.yaml",
    log:
        "logs/report_config.log",
    params:
        settings=settings.all,
        code=code("report_config"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/report_config.py"
