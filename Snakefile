# vlmscope: look inside vision-language models, from benchmarks and checkpoints to tables, figures and pages.
#
#   snakemake results/mmneuron/llava/table2.csv      one result, embedded default
#   snakemake                                        every headline result of the configured systems
#   snakemake --profile slurm TARGET                 the same at paper scale on a cluster
import os
import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)


configfile: os.path.join(workflow.basedir, "config.yaml")


# The one key that chooses the scale; files and keys given on the command line still win over this overlay.
if config["scale"] == "paper":

    configfile: os.path.join(workflow.basedir, "profiles", "paper", "config.yaml")


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
include: "rules/llava_interp_exchange.smk"
include: "rules/llava_interp_show.smk"
include: "rules/multimodal_sae.smk"
include: "rules/multimodal_sae_steer.smk"
include: "rules/multimodal_sae_explain.smk"
include: "rules/atlas.smk"
include: "rules/report.smk"


localrules:
    all,
    mmneuron,
    mmneuron_figures,
    mmneuron_look,
    mm_neurons,
    mm_neurons_look,
    xl_vlms,
    xl_vlms_captions,
    xl_vlms_dictionaries,
    xl_vlms_learned,
    xl_vlms_look,
    xl_vlms_shift,
    xl_vlms_steer,
    llava_interp,
    llava_interp_more,
    llava_interp_look,
    multimodal_sae,
    multimodal_sae_steer,
    multimodal_sae_explain,
    atlas,
    data_fetch,
    data_links,
    data_folder,
    model_fetch,
    model_resolve,
    capture_index,
    report_config,


rule xl_vlms:
    """Headline results of the third system for every configured model."""
    input:
        rules.xl_vlms_dictionaries.input,
        rules.xl_vlms_shift.input,
        rules.xl_vlms_steer.input,
        rules.xl_vlms_captions.input,
        rules.xl_vlms_learned.input,


rule all:
    """Headline results of every configured system."""
    default_target: True
    input:
        rules.mmneuron.input,
        rules.mmneuron_figures.input,
        rules.mmneuron_look.input,
        rules.mm_neurons.input,
        rules.mm_neurons_look.input,
        rules.xl_vlms.input,
        rules.xl_vlms_look.input,
        rules.multimodal_sae.input,
        rules.multimodal_sae_explain.input,
        rules.multimodal_sae_steer.input,
        rules.llava_interp.input,
        rules.llava_interp_more.input,
        rules.llava_interp_look.input,
        rules.atlas.input,
        rules.report_config.output,
