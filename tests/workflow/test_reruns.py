"""A change re-runs what depends on it and nothing else: config key -> rules, library file -> rules."""

import re
from collections.abc import Iterator

import pytest
import yaml
from checkout import EVERYTHING, TABLE
from pydantic import BaseModel

from vlmscope.settings.base import Section
from vlmscope.settings.mmneuron import MMNeuron

SAMPLES = {"data_samples"}
CAPTURE = {"capture_shard", "capture_index"}
NONE = {"mmneuron_generate"}
MASKED = {"mmneuron_generate_masked"}
EVALUATE = {"mmneuron_evaluate"}
TABLE2 = {"mmneuron_table2"}
METRICS = {"mmneuron_metrics"}
EXPORT = {"mmneuron_export"}
PERTURB = {"mmneuron_perturb"}
EFFECTS = {"mmneuron_effects"}
VARY = {"mmneuron_vary"}
VARIATIONS = {"mmneuron_variations"}
STABILITY = {"mmneuron_stability"}
TABLE1 = {"mmneuron_table1"}
STAGES = {"mmneuron_stages"}
PAGES = {"mmneuron_lens_pages"}
LENS = {"mmneuron_lens"} | PAGES | STAGES
DISTRIBUTION = {"mmneuron_distribution"}
PCA = {"mmneuron_pca"}
EMBED = {"mmneuron_embed"} | PCA
PROMPTS = {"mmneuron_prompts"}
NEURON_PAGE = {"mmneuron_page"}
EXAMPLES = {"mmneuron_examples"} | NEURON_PAGE
# What reads answers; what reads scores as the tables have them.
FROM_MASKED = EVALUATE | TABLE2 | METRICS | EXPORT
SCORED = TABLE2 | EFFECTS | VARIATIONS
ANSWERS = MASKED | FROM_MASKED | PERTURB | EFFECTS
FROM_SETS = TABLE1 | ANSWERS | STAGES | DISTRIBUTION | EXAMPLES
FROM_COUNTS = {"mmneuron_identify"} | FROM_SETS | VARY | VARIATIONS | STABILITY
FROM_CAPTURE = CAPTURE | FROM_COUNTS
DRAWN = EFFECTS | VARIATIONS | STABILITY | STAGES | DISTRIBUTION | PCA
FROM_MODEL = FROM_CAPTURE | NONE | LENS | EMBED

OTHER_LABEL = "[{name: none, label: Untouched}, {name: all, label: All, modules: [lang, vision, mmproj]}]"
IMPORT = "mmneuron.exchange.folder=results/mmneuron/llava/released; mmneuron.exchange.imported={{llava: [{}]}}".format

# What changes -> the rules that must run again.
KEYS = {
    "mmneuron.identify.top_rate=0.15": FROM_COUNTS,
    "mmneuron.identify.filter_rate=0.6": FROM_COUNTS,
    "mmneuron.identify.bar_rate=0.6": FROM_COUNTS,
    "mmneuron.identify.assign=bar": FROM_COUNTS,
    "mmneuron.identify.compat_float32=true": FROM_COUNTS,
    "mmneuron.generate.decode=sampling": NONE | ANSWERS | VARY | VARIATIONS,
    "mmneuron.generate.max_new_tokens=9": NONE | ANSWERS | VARY | VARIATIONS,
    "mmneuron.generate.seed=1": NONE | ANSWERS | VARY | VARIATIONS,
    "mmneuron.generate.official_rows=true": NONE | ANSWERS | VARY | VARIATIONS,
    "mmneuron.evaluate.anls_threshold=0.5": EVALUATE | SCORED,
    "mmneuron.evaluate.com_metric=vqa_acc": SCORED,
    "mmneuron.evaluate.med_metric=official_any": SCORED,
    "mmneuron.evaluate.judge=mine; judges.mine={source: folder, checkpoint: weights/clip}": EVALUATE | SCORED | METRICS,
    "mmneuron.evaluate.bootstrap=500": SCORED | METRICS,
    "mmneuron.evaluate.seed=3": SCORED | METRICS,
    # Two tables change their names.
    "mmneuron.tables.neurons=table2; mmneuron.tables.accuracy=table1": TABLE1 | TABLE2,
    "mmneuron.tables.deviation=table5; mmneuron.tables.random_deviation=table3": EFFECTS,
    "mmneuron.tables.random_accuracy=table5; mmneuron.tables.random_deviation=table4": EFFECTS,
    "mmneuron.effects.condition=lang": PERTURB | EFFECTS,
    "mmneuron.effects.samples=4": PERTURB | EFFECTS,
    "mmneuron.effects.random_seeds=[0, 1]": PERTURB | EFFECTS,
    "mmneuron.vary.condition=lang": VARY | VARIATIONS,
    "mmneuron.vary.samples=4": VARY | VARIATIONS,
    "mmneuron.vary.rates=[0.3]": VARY | VARIATIONS,
    "mmneuron.vary.random_seeds=[1]": VARY | VARIATIONS,
    "mmneuron.vary.scales=[3.0]": VARY | VARIATIONS,
    "mmneuron.lens.samples=5": LENS,
    "mmneuron.lens.shown=1": LENS,
    "mmneuron.lens.k=5": LENS,
    "mmneuron.lens.prompt=chat": LENS,
    # A file that is there stands for one with vectors.
    "mmneuron.lens.shift=weights/llava/model.safetensors": LENS,
    "mmneuron.lens.page_positions=60": PAGES,
    "mmneuron.stages.segment=1": STAGES,
    "mmneuron.stages.meaningful=4": STAGES,
    "mmneuron.stages.resamples=50": STAGES,
    "mmneuron.stages.seed=1": STAGES,
    "mmneuron.pca.samples=4": EMBED,
    "mmneuron.examples.neurons=1": EXAMPLES,
    "mmneuron.examples.samples=5": EXAMPLES,
    "mmneuron.examples.images=2": EXAMPLES,
    "mmneuron.examples.zeroed=2": EXAMPLES,
    "mmneuron.examples.pixels=64": NEURON_PAGE,
    "mmneuron.exchange.folder=elsewhere": set(),
    "mmneuron.exchange.snapshot=2": EXPORT,
    IMPORT("counts"): {"mmneuron_import_counts", "capture_index"} | FROM_COUNTS,
    IMPORT("masks"): {"mmneuron_import_masks"} | FROM_SETS,
    IMPORT("answers"): {"mmneuron_import_answers"} | FROM_MASKED,
    "mmneuron.columns=[ad, med, rs, com, doc]": TABLE2 | EFFECTS,
    "mmneuron.domains=[med, ad, rs, com, doc]": FROM_COUNTS | EMBED | PROMPTS,
    "mmneuron.capture=again; captures.again={data: [ad, med, rs, com, doc], samples: 12, take: [{site: mlp_gate}, "
    "{site: mlp_gate, where: image}, {site: mlp_gate, where: text}, {site: vision_gate}, {site: projector_gate}, "
    "{site: qformer_gate}, {site: query_gate}]}": FROM_CAPTURE,
    f"mmneuron.conditions.llava_next={OTHER_LABEL}": ANSWERS | VARY | VARIATIONS,
    "captures.domain_counts.prompt=full": FROM_CAPTURE,
    "captures.domain_counts.run=generate": FROM_CAPTURE,
    "captures.domain_counts.samples=10": FROM_CAPTURE,
    "captures.domain_counts.vision_positions=1000": FROM_CAPTURE,
    "captures.domain_counts.shards=3": FROM_CAPTURE,
    "models.llava.label=LLaVA": TABLE1 | SCORED | STABILITY | STAGES | PAGES | DISTRIBUTION | PCA | NEURON_PAGE,
    "models.llava.dtype=bfloat16": {"model_resolve"} | FROM_MODEL,
    "models.llava.quantize=4bit": {"model_resolve"} | FROM_MODEL,
    "models.llava.attention=eager": {"model_resolve"} | FROM_MODEL,
    "models.llava.device=cpu": set(),
    "datasets.com.options={}": set(),
}

# Library file, a text in it, its replacement -> the rules that must run again.
CODE = {
    "vlmscope/mmneuron/identify.py": ('kind="stable"', 'kind="mergesort"', FROM_COUNTS),
    "vlmscope/mmneuron/table1.py": ('"shared_ge2": pl.Int64', '"shared_ge2": pl.Int32', TABLE1),
    "vlmscope/mmneuron/table2.py": ("{value:.2f}", "{value:.3f}", TABLE2 | EFFECTS),
    "vlmscope/mmneuron/effects.py": ('("own", "other", "random")', '("own", "random", "other")', EFFECTS),
    "vlmscope/mmneuron/scored.py": ("[0.025, 0.975]", "[0.020, 0.980]", EFFECTS | VARIATIONS),
    "vlmscope/mmneuron/perturb.py": (
        "(100 * (moved",
        "(101 * (moved",
        PERTURB | EFFECTS | VARY | VARIATIONS | EXAMPLES,
    ),
    "vlmscope/mmneuron/vary.py": (".mean(axis=0)", ".max(axis=0)", VARY | VARIATIONS),
    "vlmscope/mmneuron/stability.py": ("shared / either", "either / shared", STABILITY),
    "vlmscope/mmneuron/examples.py": ("own > 0", "own >= 0", EXAMPLES),
    "vlmscope/mmneuron/page.py": (":.4g}", ":.5g}", NEURON_PAGE),
    "vlmscope/mmneuron/exchange/export.py": ("vlmscope.released/1", "vlmscope.released/2", EXPORT),
    "vlmscope/sweep.py": ("len(waiting) >= rows", "len(waiting) > rows", NONE | ANSWERS | VARY | VARIATIONS | EXAMPLES),
    "vlmscope/metrics/vqa.py": (
        "prediction.lower() == answer.lower()",
        "prediction == answer",
        EVALUATE | SCORED | METRICS,
    ),
    "vlmscope/capture/taps.py": ("torch.gt(part, 0,", "torch.ge(part, 0,", FROM_MODEL),
    "vlmscope/capture/batches.py": ("positions >= vision_positions", "positions > vision_positions", FROM_MODEL),
    "vlmscope/capture/shard.py": ("%d in this shard", "%d in the shard", FROM_CAPTURE | LENS | EMBED),
    "vlmscope/models/llava_next.py": ("USER: {prompt}", "HUMAN: {prompt}", FROM_MODEL | PROMPTS),
    "vlmscope/show/figures.py": ("figsize=(9, 3)", "figsize=(9, 4)", DRAWN),
}


def test_a_second_run_has_nothing_to_do(everything):
    assert everything.planned(targets=EVERYTHING) == {}


def leaves(section: type[BaseModel], path: str) -> Iterator[str]:
    """Dotted names of all settings below a section; a mapping or list counts as one."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, f"{path}.{name}")
        else:
            yield f"{path}.{name}"


def assigned(row: str) -> list[str]:
    """Dotted names that a row of the matrix sets."""
    return [one.split("=")[0] for one in row.split("; ")]


def test_every_setting_of_mmneuron_has_a_row():
    rows = [f"{name}." for row in KEYS for name in assigned(row)]
    without = [key for key in leaves(MMNeuron, "mmneuron") if not any(row.startswith(f"{key}.") for row in rows)]
    assert not without, f"add rows to KEYS: {without}"


def test_a_row_sets_something_else_than_the_small_run(everything):
    folder = everything.folder
    trees = [yaml.safe_load((folder / name).read_text()) for name in ("config.yaml", "tests/workflow/small.yaml")]
    for row in KEYS:
        for one in row.split("; "):
            path, value = one.split("=", 1)
            found = [part for tree in trees if (part := at(tree, path)) is not None]
            assert not found or found[-1] != yaml.safe_load(value) or value == "{}", row


def at(tree: dict, path: str) -> object:
    """What stands at a dotted path, None where nothing does."""
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


@pytest.mark.parametrize("assignment", KEYS)
def test_a_key_reruns_what_depends_on_it(assignment, everything):
    planned = everything.planned(assignment, EVERYTHING)
    assert set(planned) == KEYS[assignment]


def test_other_neurons_ask_the_masked_questions_again_and_nothing_else(everything):
    planned = everything.planned("mmneuron.identify.top_rate=0.15", EVERYTHING)
    assert (planned["mmneuron_generate_masked"], planned["mmneuron_evaluate"]) == (1, 1)
    assert not planned.keys() & {"capture_shard", "mmneuron_generate"}


@pytest.mark.parametrize("path", CODE)
def test_a_library_edit_reruns_the_rules_that_use_it(path, everything):
    old, new, expected = CODE[path]
    with everything.edited(path, old, new):
        assert set(everything.planned(targets=EVERYTHING)) == expected
    assert everything.planned(targets=EVERYTHING) == {}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("page.css", "font-size: 1.25rem", "font-size: 1.3rem", PAGES | NEURON_PAGE),
        ("base.html", '<html lang="en">', "<html>", PAGES | NEURON_PAGE),
        ("lens.html", "Each cell shows", "A cell shows", PAGES),
        ("lens.js", "checked = true", "checked = !0", PAGES),
        ("neurons.css", "max-width: 110ch", "max-width: 120ch", NEURON_PAGE),
        ("neurons.js", "of its firing", "of firing", NEURON_PAGE),
    ],
)
def test_a_changed_template_draws_its_pages_anew(file, old, new, expected, everything):
    with everything.edited(f"vlmscope/show/templates/{file}", old, new):
        assert set(everything.planned(targets=EVERYTHING)) == expected


def test_comments_and_docstrings_rerun_nothing(everything):
    with everything.edited("vlmscope/edits.py", '"""Edits: changes of', '"""Edits, changes of'):
        assert everything.planned(targets=EVERYTHING) == {}


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
