# What may be asked for by name: the headline, a system, one model of it, everything.
#
# NEEDS     the target rules of all systems
# MAKES     results/{system}/{model}/manifest.json     every result of one system and one model, listed
# SETTINGS  run

# Files that the targets of every system name: `all` makes the headline ones of its first model, `everything` all.
made = targets.Made(
    cfg.run,
    headline=dict(
        mmneuron=[rules.mmneuron_tables.input, rules.mmneuron_look.input],
        mm_neurons=[rules.mm_neurons_tables.input, rules.mm_neurons_look.input],
        xl_vlms=[rules.xl_vlms_dictionaries.input, rules.xl_vlms_steer.input, concept_pages.dictionaries()],
        multimodal_sae=[
            rules.multimodal_sae_coder.input,
            rules.multimodal_sae_explain.input,
            rules.multimodal_sae_steer.input,
            rules.multimodal_sae_look.input,
        ],
        llava_interp=[rules.llava_interp_tables.input, rules.llava_interp_look.input],
        atlas=[],
    ),
    more=dict(
        mmneuron=[rules.mmneuron_figures.input],
        xl_vlms=[
            rules.xl_vlms_shift.input,
            rules.xl_vlms_captions.input,
            rules.xl_vlms_learned.input,
            rules.xl_vlms_look.input,
        ],
        multimodal_sae=[
            rules.multimodal_sae_tables.input,
            rules.multimodal_sae_explain_texts.input,
            rules.multimodal_sae_beyond.input,
            latent_figures.always,
        ],
        llava_interp=[rules.llava_interp_more.input],
        atlas=[rules.atlas.input],
    ),
)


rule mmneuron:
    """Every result of the first system, domain neurons, for all its models."""
    input:
        made.of("mmneuron"),


rule mm_neurons:
    """Every result of the second system, neurons that write a caption's words, for all its models."""
    input:
        made.of("mm_neurons"),


rule xl_vlms:
    """Every result of the third system, concepts, their shift and steering, for all its models."""
    input:
        made.of("xl_vlms"),


rule multimodal_sae:
    """Every result of the fourth system, sparse autoencoders, for all its models."""
    input:
        made.of("multimodal_sae"),
        latent_figures.chosen,


rule llava_interp:
    """Every result of the fifth system, visual tokens, for all its models."""
    input:
        made.of("llava_interp"),


rule everything:
    """Every result of every system for every configured model, and the report about them."""
    input:
        made.every,
        latent_figures.chosen,
        rules.report_config.output,
        "results/report/everything.html",


rule target_manifest:
    """List every result of one system and one model."""
    input:
        made.files,
        latent_figures.listed,
    output:
        "results/{system}/{model}/manifest.json",
    wildcard_constraints:
        system=flow.one_of(made.systems),
    log:
        "logs/target_manifest/{system}-{model}.log",
    params:
        code=code("target_manifest"),
    threads: 1
    resources:
        **cpu(),
    conda:
        "../envs/cpu.yaml"
    script:
        "../scripts/target_manifest.py"
