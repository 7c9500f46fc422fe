"""A change re-runs what depends on it and nothing else: config key -> rules, library file -> rules."""

import re
import subprocess

import pytest
import yaml
from checkout import ALL, Checkout

SAMPLES = {"data_samples"}
MODEL = {"model_resolve"}
CAPTURE = {"capture_shard", "capture_index"}
NONE = {"mmneuron_generate"}
MASKED = {"mmneuron_generate_masked"}
PERTURB = {"mmneuron_perturb"}
TABLES = {"mmneuron_evaluate", "mmneuron_table2"}
EFFECTS = {"mmneuron_effects"}
FROM_NEURONS = MASKED | PERTURB | TABLES | EFFECTS
FROM_CAPTURE = CAPTURE | {"mmneuron_identify"} | FROM_NEURONS
FROM_SAMPLES = FROM_CAPTURE | NONE

# What changes -> the rules that must run again.
KEYS = {
    "mmneuron.identify.top_rate=0.15": {"mmneuron_identify"} | FROM_NEURONS,
    "mmneuron.identify.filter_rate=0.6": {"mmneuron_identify"} | FROM_NEURONS,
    "mmneuron.identify.bar_rate=0.6": {"mmneuron_identify"} | FROM_NEURONS,
    "mmneuron.identify.assign=bar": {"mmneuron_identify"} | FROM_NEURONS,
    "mmneuron.identify.compat_float32=true": {"mmneuron_identify"} | FROM_NEURONS,
    "mmneuron.generate.max_new_tokens=9": NONE | FROM_NEURONS,
    "mmneuron.generate.seed=1": NONE | FROM_NEURONS,
    "mmneuron.evaluate.anls_threshold=0.5": TABLES | EFFECTS,
    "mmneuron.evaluate.com_metric=vqa_acc": {"mmneuron_table2"} | EFFECTS,
    "mmneuron.evaluate.med_metric=official_any": {"mmneuron_table2"} | EFFECTS,
    "mmneuron.evaluate.bootstrap=500": {"mmneuron_table2"} | EFFECTS,
    "mmneuron.evaluate.seed=3": {"mmneuron_table2"} | EFFECTS,
    "mmneuron.effects.samples=4": PERTURB | EFFECTS,
    "mmneuron.effects.random_seeds=[0, 1]": PERTURB | EFFECTS,
    "mmneuron.columns=[ad, med, rs, com, doc]": {"mmneuron_table2"},
    "captures.domain_counts.prompt=full": FROM_CAPTURE,
    "captures.domain_counts.samples=10": FROM_CAPTURE | {"mmneuron_table2"},
    "captures.domain_counts.vision_positions=1000": FROM_CAPTURE,
    "captures.domain_counts.shards=3": FROM_CAPTURE,
    "models.llava.label=LLaVA": {"model_resolve"} | FROM_SAMPLES,
    "models.llava.dtype=bfloat16": {"model_resolve"} | FROM_SAMPLES,
    "datasets.com.options={}": set(),
}
"""Labels stand in the model's manifest, which every model step reads; so a new label runs the model again."""
