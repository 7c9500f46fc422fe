# What a run leaves for its readers besides the results.
#
# NEEDS     what `all` or `everything` asks for (targets.smk), and what the same jobs write beside it; manifests of
#           models and datasets and benchmarks/ are read where they lie, as far as they are there
# MAKES     results/report/config.yaml         the configuration as it took effect
#           results/report/index.html          the report: findings, tables, figures, and where they come from
#           results/report/everything.html     the same of every model and result
# SETTINGS  all
from snakemake import __version__ as engine

from vlmscope.report.makers import Plan

shown = Plan(cfg, workflow)


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


rule report_site:
    """Write what was run and found, how sure it is and where it comes from, as one page."""
    input:
        results=shown.results,
        config="results/report/config.yaml",
        templates=expand(
            page_parts, file=["base.html", "report.html", "page.css", "report.css", "report.js", "report_sort.js"]
        ),
    output:
        page="results/report/{scope}.html",
    wildcard_constraints:
        scope=flow.one_of(shown.scopes),
    log:
        "logs/report_site/{scope}.log",
    params:
        settings=settings.all,
        made=shown.made,
        engine=engine,
        code=code("report_site"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/report_site.py"
