# vlmscope: look inside vision-language models, from benchmarks and checkpoints to tables, figures and pages.
#
#   snakemake results/mmneuron/llava/table2.csv      one result, embedded default
#   snakemake                                        the headline results of every system, for its first model, and the report
#   snakemake mmneuron                               every result of one system, for all its models
#   snakemake results/mmneuron/llava/manifest.json   every result of one system and one model
#   snakemake everything                             all of it
#   snakemake --profile slurm TARGET                 the same at paper scale on a cluster
import os
import sys

from snakemake.utils import min_version

min_version("9.0")
# The folder of this file, also where workflow/Snakefile includes it.
root = workflow.current_basedir.get_path_or_uri(secret_free=True)
sys.path.insert(0, root)


configfile: os.path.join(root, "config.yaml")


# The one key that chooses the scale; files and keys given on the command line still win over this overlay.
if config["scale"] == "paper":

    configfile: os.path.join(root, "profiles", "paper", "config.yaml")


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/capture.smk"
include: "rules/mmneuron.smk"
include: "rules/mmneuron_controls.smk"
include: "rules/mmneuron_lens.smk"
include: "rules/mmneuron_exchange.smk"
include: "rules/mmneuron_page.smk"
include: "rules/mm_neurons.smk"
include: "rules/mm_neurons_rank.smk"
include: "rules/mm_neurons_maps.smk"
include: "rules/mm_neurons_effects.smk"
include: "rules/mm_neurons_measures.smk"
include: "rules/mm_neurons_show.smk"
include: "rules/mm_neurons_exchange.smk"
include: "rules/xl_vlms.smk"
include: "rules/xl_vlms_dictionaries.smk"
include: "rules/xl_vlms_shift.smk"
include: "rules/xl_vlms_captions.smk"
include: "rules/xl_vlms_learned.smk"
include: "rules/xl_vlms_steer.smk"
include: "rules/xl_vlms_show.smk"
include: "rules/xl_vlms_exchange.smk"
include: "rules/llava_interp.smk"
include: "rules/llava_interp_knockout.smk"
include: "rules/llava_interp_lens.smk"
include: "rules/llava_interp_more.smk"
include: "rules/llava_interp_without.smk"
include: "rules/llava_interp_pairs.smk"
include: "rules/llava_interp_exchange.smk"
include: "rules/llava_interp_show.smk"
include: "rules/multimodal_sae_data.smk"
include: "rules/multimodal_sae.smk"
include: "rules/multimodal_sae_steer.smk"
include: "rules/multimodal_sae_explain.smk"
include: "rules/multimodal_sae_explain_texts.smk"
include: "rules/multimodal_sae_pages.smk"
include: "rules/multimodal_sae_figures.smk"
include: "rules/atlas.smk"
include: "rules/multimodal_sae_tables.smk"
include: "rules/multimodal_sae_beyond.smk"
include: "rules/report.smk"
include: "rules/targets.smk"


localrules:
    multimodal_sae_choose,
    data_fetch,
    data_links,
    data_folder,
    model_fetch,
    model_resolve,
    capture_index,
    report_config,
    report_site,
    target_manifest,


# An included file cannot set the default target.
rule all:
    """Headline results of the first configured model of every system, and the report about them."""
    default_target: True
    input:
        made.headline,
        rules.report_config.output,
        "results/report/index.html",
