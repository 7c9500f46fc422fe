"""A change re-runs what depends on it and nothing else: config key -> rules, library file -> rules."""

import re

import pytest
from checkout import TABLE

SAMPLES = {"data_samples"}
MODEL = {"model_resolve"}
CAPTURE = {"capture_shard", "capture_index"}
NONE = {"mmneuron_generate"}
MASKED = {"mmneuron_generate_masked"}
PERTURB = {"mmneuron_perturb"}
TABLES = {"mmneuron_evaluate", "mmneuron_table2"}
EFFECTS = {"mmneuron_effects"}
VARY = {"mmneuron_vary"}
VARIATIONS = {"mmneuron_variations"}
STABILITY = {"mmneuron_stability"}
TABLE1 = {"mmneuron_table1"}
FROM_NEURONS = MASKED | PERTURB | TABLES | EFFECTS
FROM_ANSWERS = FROM_NEURONS | VARY | VARIATIONS
FROM_COUNTS = {"mmneuron_identify"} | TABLE1 | FROM_ANSWERS | STABILITY
FROM_CAPTURE = CAPTURE | FROM_COUNTS
FROM_SAMPLES = FROM_CAPTURE | NONE

# What changes -> the rules that must run again.
KEYS = {
    "mmneuron.identify.top_rate=0.15": FROM_COUNTS,
    "mmneuron.identify.filter_rate=0.6": FROM_COUNTS,
    "mmneuron.identify.bar_rate=0.6": FROM_COUNTS,
    "mmneuron.identify.assign=bar": FROM_COUNTS,
    "mmneuron.identify.compat_float32=true": FROM_COUNTS,
    "mmneuron.generate.max_new_tokens=9": NONE | FROM_ANSWERS,
    "mmneuron.generate.seed=1": NONE | FROM_ANSWERS,
    "mmneuron.evaluate.anls_threshold=0.5": TABLES | EFFECTS | VARIATIONS,
    "mmneuron.evaluate.com_metric=vqa_acc": {"mmneuron_table2"} | EFFECTS | VARIATIONS,
    "mmneuron.evaluate.med_metric=official_any": {"mmneuron_table2"} | EFFECTS | VARIATIONS,
    "mmneuron.evaluate.bootstrap=500": {"mmneuron_table2"} | EFFECTS | VARIATIONS,
    "mmneuron.evaluate.seed=3": {"mmneuron_table2"} | EFFECTS | VARIATIONS,
    "mmneuron.effects.samples=4": PERTURB | EFFECTS,
    "mmneuron.effects.random_seeds=[0, 1]": PERTURB | EFFECTS,
    "mmneuron.vary.samples=4": VARY | VARIATIONS,
    "mmneuron.vary.rates=[0.3]": VARY | VARIATIONS,
    "mmneuron.vary.scales=[3.0]": VARY | VARIATIONS,
    "mmneuron.columns=[ad, med, rs, com, doc]": {"mmneuron_table2"} | EFFECTS,
    "captures.domain_counts.prompt=full": FROM_CAPTURE,
    "captures.domain_counts.run=generate": FROM_CAPTURE | {"mmneuron_table2"},
    "captures.domain_counts.samples=10": FROM_CAPTURE | {"mmneuron_table2"},
    "captures.domain_counts.vision_positions=1000": FROM_CAPTURE,
    "captures.domain_counts.shards=3": FROM_CAPTURE,
    "models.llava.label=LLaVA": {"mmneuron_table2"} | TABLE1 | EFFECTS | VARIATIONS | STABILITY,
    "models.llava.dtype=bfloat16": {"model_resolve"} | FROM_SAMPLES,
    "models.llava.quantize=4bit": {"model_resolve"} | FROM_SAMPLES,
    "models.llava.attention=eager": {"model_resolve"} | FROM_SAMPLES,
    "models.llava.device=cpu": set(),
    "datasets.com.options={}": set(),
}

# Library file, a text in it, its replacement -> the rules that must run again.
CODE = {
    "vlmscope/mmneuron/identify.py": ('kind="stable"', 'kind="mergesort"', FROM_COUNTS),
    "vlmscope/mmneuron/table1.py": ('"shared_ge2": pl.Int64', '"shared_ge2": pl.Int32', TABLE1),
    "vlmscope/mmneuron/table2.py": ("{value:.2f}", "{value:.3f}", {"mmneuron_table2"} | EFFECTS),
    "vlmscope/mmneuron/effects.py": ('("own", "other", "random")', '("own", "random", "other")', EFFECTS),
    "vlmscope/mmneuron/scored.py": ("[0.025, 0.975]", "[0.020, 0.980]", EFFECTS | VARIATIONS),
    "vlmscope/mmneuron/perturb.py": ("(100 * (moved", "(101 * (moved", PERTURB | EFFECTS | VARY | VARIATIONS),
    "vlmscope/mmneuron/vary.py": (".mean(axis=0)", ".max(axis=0)", VARY | VARIATIONS),
    "vlmscope/mmneuron/stability.py": ("shared / either", "either / shared", STABILITY),
    "vlmscope/sweep.py": ("len(waiting) >= rows", "len(waiting) > rows", NONE | FROM_ANSWERS),
    "vlmscope/metrics/vqa.py": (
        "prediction.lower() == answer.lower()",
        "prediction == answer",
        TABLES | EFFECTS | VARIATIONS,
    ),
    "vlmscope/capture/taps.py": ("torch.gt(part, 0,", "torch.ge(part, 0,", FROM_SAMPLES),
    "vlmscope/capture/batches.py": ("positions >= vision_positions", "positions > vision_positions", FROM_SAMPLES),
    "vlmscope/capture/shard.py": ("%d in this shard", "%d in the shard", FROM_CAPTURE),
    "vlmscope/models/llava_next.py": ("USER: {prompt}", "HUMAN: {prompt}", FROM_SAMPLES),
    "vlmscope/show/figures.py": ("figsize=(9, 3)", "figsize=(9, 4)", EFFECTS | VARIATIONS | STABILITY),
}


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.planned() == {}


@pytest.mark.parametrize("assignment", KEYS)
def test_a_key_reruns_what_depends_on_it(assignment, finished):
    planned = finished.planned(assignment)
    assert set(planned) == KEYS[assignment]


@pytest.mark.parametrize("path", CODE)
def test_a_library_edit_reruns_the_rules_that_use_it(path, finished):
    old, new, expected = CODE[path]
    with finished.edited(path, old, new):
        assert set(finished.planned()) == expected
    assert finished.planned() == {}


def test_comments_and_docstrings_rerun_nothing(finished):
    with finished.edited("vlmscope/edits.py", '"""Edits: changes of', '"""Edits, changes of'):
        assert finished.planned() == {}


def test_one_domain_s_reader_reruns_that_domain_alone(finished):
    with finished.edited("vlmscope/datasets/rsvqa.py", 'LABEL = "RS-VQA"', 'LABEL = "RSVQA"'):
        planned = finished.planned()
    assert {rule: planned[rule] for rule in ("data_draw", "data_samples", "capture_shard", "mmneuron_generate")} == {
        "data_draw": 1,
        "data_samples": 2,
        "capture_shard": 1,
        "mmneuron_generate": 1,
    }


def test_a_new_model_runs_its_own_chain_only(finished):
    key = "models.twin={family: llava_next, label: Twin, checkpoint: weights/llava}"
    assert finished.planned(key) == {}
    twin = finished.planned(key, targets=("results/mmneuron/twin/table2.csv",))
    assert twin["capture_shard"] == 5
    assert "data_draw" not in twin
    assert "data_samples" not in twin


def test_the_reason_names_the_parameter(finished):
    done = finished.run(TABLE, "-n", overlays=finished.overlays("mmneuron.identify.top_rate=0.15"))
    assert re.search(r"Params have changed.*top_rate", done.stdout + done.stderr, flags=re.DOTALL)
