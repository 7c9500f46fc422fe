"""The plan at paper scale, built without a network and without a file of the benchmarks."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from vlmscope import config
from vlmscope.mmneuron.demands import MARGIN, START
from vlmscope.models.convert.recipe import recipe
from vlmscope.settings.xl_vlms.learned import Task
from vlmscope.settings.xl_vlms.steer import Vector
from vlmscope.settings.xl_vlms.vectors import VectorSet

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "profiles" / "paper" / "config.yaml"
TARGET = "results/mmneuron/llava/table2.csv"
FAMILIES = {
    "llava": "llava_next",
    "blip": "instructblip",
    "llava-llama2": "llava_llama2",
    "mplug-owl2": "mplug_owl2",
    "llava15": "llava",
    "idefics2": "idefics2",
    "molmo": "molmo",
    "qwen2-vl": "qwen2_vl",
    "qwen2.5-vl": "qwen2_5_vl",
    "llava-next-llama3": "llava_next_llama3",
    "llava-onevision": "llava_onevision",
    "llava-phi": "llava_phi",
    "clip": "clip",
    "clip-large": "clip",
}


def overlay() -> dict[str, Any]:
    return yaml.safe_load(OVERLAY.read_text(encoding="utf-8"))


def merged(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As Snakemake lays one configuration over another."""
    both = {**base, **above}
    for key in base.keys() & above.keys():
        if isinstance(base[key], dict) and isinstance(above[key], dict):
            both[key] = merged(base[key], above[key])
    return both


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, tree


def test_every_value_of_the_overlay_validates():
    paper = config.resolve(merged(config.plain(config.default()), overlay()), where=str(OVERLAY))
    assert paper.scale == "paper"
    # Nobody publishes these in the layout that is read.
    own = {name for name, one in paper.datasets.items() if one.source != "download"}
    assert {name: paper.datasets[name].source for name in own} == {
        **dict.fromkeys(("pope", "safety"), "folder"),
        "joined": "joined",
    }
    assert paper.datasets["ad"].options == {"frames": "all"}
    assert (paper.mmneuron.identify.top_rate, paper.mmneuron.identify.assign) == (0.01, "bar")
    assert paper.models["llava"].checkpoint == "llava-hf/llava-v1.6-vicuna-7b-hf"


def test_every_model_of_the_five_systems_is_a_published_checkpoint():
    models = config.resolve(merged(config.plain(config.default()), overlay()), where=str(OVERLAY)).models
    for name, family in FAMILIES.items():
        one = models[name]
        assert one.family == family
        assert one.source in ("hub", "official") and one.checkpoint.count("/") == 1, name
        assert re.fullmatch(r"[0-9a-f]{40}" if name != "llava-onevision" else "main", one.revision), name
        # Pickles are fetched for a converter that knows the family, or for checkpoints of the library's own layout.
        if one.source == "official":
            assert recipe(one.family).pickles


def test_the_tower_of_a_converted_model_is_the_one_of_the_catalogue():
    (tower,) = recipe("llava_llama2").beside.values()
    large = overlay()["models"]["clip-large"]
    assert tower[:2] == (large["checkpoint"], large["revision"])


# Catalogues, whose entries may be others than the drawn world has; None: entries without keys of their own.
CATALOGUES = {
    ("models",): config.Model,
    ("finetunes",): config.Finetune,
    ("datasets",): config.Dataset,
    ("captures",): config.Capture,
    ("xl_vlms", "sets"): VectorSet,
    ("xl_vlms", "vectors"): Vector,
    ("xl_vlms", "learned", "tasks"): Task,
    ("xl_vlms", "captions", "styles"): None,
    ("llava_interp", "asking", "prompts"): None,
}


def entry(path: tuple[str, ...]) -> tuple[str, ...]:
    """The catalogue entry that a key belongs to; nothing where it stands in no catalogue."""
    return next((path[: len(one) + 1] for one in CATALOGUES if path[: len(one)] == one), ())


def test_the_overlay_only_says_what_differs_from_the_default():
    default = dict(leaves(config.plain(config.default())))
    there = {entry(path) for path in default}
    for path, value in leaves(overlay()):
        name = entry(path)
        # Models and fine-tunes stand there whole, so that one can be used that has no embedded counterpart.
        whole = path[0] in ("models", "finetunes") and path[1] != "llava"
        if whole or name not in there:
            kind = CATALOGUES[name[:-1]]
            assert kind is None or path[len(name)] in kind.model_fields
            continue
        if path[0] == "datasets" and path[2] == "options":
            # What a benchmark's reader takes stands in its own signature.
            reader = importlib.import_module(f"vlmscope.datasets.{default[('datasets', path[1], 'kind')]}").read
            assert path[3] in inspect.signature(reader).parameters
        else:
            assert path in default, f"{'.'.join(path)} is no key of the default"
        assert value != default.get(path), f"{'.'.join(path)} repeats the default"


HERE = ("--cores", "1", "--config", "scale=paper")
CLUSTER = ("--profile", "slurm")


def planned(folder: Path, *targets: str, options: tuple[str, ...] = HERE) -> str:
    """What `snakemake -n` prints; a proxy that nobody answers stands for the missing network."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    settings = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    command = [sys.executable, "-m", "snakemake", "-n", *options, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--", *targets]
    done = subprocess.run(
        command, cwd=ROOT, env={**settings, **nowhere}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> str:
    """The plan of a table."""
    return planned(tmp_path_factory.mktemp("paper"), TARGET)


def jobs(plan: str) -> list[tuple[str, str]]:
    """Rule and text of every job in the printed plan; jobs of a group are indented."""
    parts = re.split(r"(?m)^\s*(?:local)?rule (\w+):$", plan)
    return list(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.slow
def test_the_plan_holds_every_step_from_download_to_table(plan):
    counted = Counter(rule for rule, _ in jobs(plan))
    assert counted == {
        "data_fetch": 5,
        "data_samples": 10,
        "model_fetch": 2,
        "model_resolve": 1,
        "capture_shard": 20,
        "capture_index": 5,
        "mmneuron_identify": 1,
        "mmneuron_generate": 5,
        "mmneuron_generate_masked": 5,
        "mmneuron_evaluate": 2,
        "mmneuron_table2": 1,
    }


@pytest.mark.slow
def test_controls_of_the_other_model_run_domain_by_domain(tmp_path):
    folder = "results/mmneuron/blip"
    counted = Counter(rule for rule, _ in jobs(planned(tmp_path, f"{folder}/effects.csv", f"{folder}/dose.csv")))
    assert (counted["mmneuron_perturb"], counted["mmneuron_vary"], counted["capture_shard"]) == (5, 5, 20)
    assert counted["mmneuron_effects"] == counted["mmneuron_variations"] == 1


@pytest.mark.slow
def test_steps_with_a_model_ask_for_one_gpu_and_no_other_does(plan):
    asking = {rule for rule, text in jobs(plan) if re.search(r"resources:.*\bgpu=1\b", text)}
    assert asking == {"capture_shard", "mmneuron_generate", "mmneuron_generate_masked"}
    assert all(re.search(r"\bgpu=1\b", text) for rule, text in jobs(plan) if rule in asking)


@pytest.mark.slow
def test_downloads_go_to_the_folders_that_the_documents_name(plan):
    fetched = {re.search(r"output: (\S+)", text)[1] for rule, text in jobs(plan) if rule.endswith("_fetch")}
    assert fetched == {
        *(f"results/data/{name}/raw.json" for name in ("ad", "med", "rs", "com", "doc")),
        "results/models/llava/hub.json",
        "results/models/lingo-judge/hub.json",
    }


@pytest.mark.slow
def test_every_checkpoint_is_fetched_converted_where_its_layout_asks_for_it_and_resolved(tmp_path):
    made = {}
    for rule, text in jobs(planned(tmp_path, *(f"results/models/{name}/model.json" for name in FAMILIES))):
        made.setdefault(rule, set()).add(re.search(r"wildcards: model=(\S+)", text)[1])
        if rule == "model_resolve":
            name = re.search(r"wildcards: model=(\S+)", text)[1]
            source = "converted" if overlay()["models"][name]["source"] == "official" else "hub"
            assert f"input: results/models/{name}/{source}.json" in text
    assert made == {
        "model_fetch": set(FAMILIES),
        "model_convert": {"llava-llama2", "mplug-owl2", "clip"},
        "model_resolve": set(FAMILIES),
    }


# ---- everything of MMNeuron, on a cluster ------------------------------------------------------------------------

DOMAINS = ("ad", "med", "rs", "com", "doc")
# Every file that mmneuron.md 7.3 names, below the folder of a model.
PUBLISHED = (
    *("fig2_pca.png", "fig2_pca.csv", "table1.csv", "prompts.json", "neurons.csv"),
    *(f"fig_{name}.{kind}" for name in ("layers", "sharing", "overlap", "entropy") for kind in ("csv", "png")),
    *("table2.csv", "table2_long.csv", "table2.meta.json"),
    *(f"table{number}{part}.csv" for number in (3, 4, 5) for part in ("", "_long")),
    *(f"lens_{domain}.csv" for domain in DOMAINS),
    *(f"lens_{domain}_{number}.html" for domain in DOMAINS for number in (0, 1)),
)
# Not in the paper.
OURS = ("stages.csv", "effects.csv", "cross.csv", "dose.csv", "ablations.csv", "stability.csv", "positions.csv")
OURS += ("metrics.csv", "neurons.html")
GPU = {"capture_shard"}
GPU |= {f"mmneuron_{step}" for step in ("generate", "generate_masked", "perturb", "vary", "lens", "embed", "examples")}


@dataclass(frozen=True)
class Job:
    """A job as the plan tells it."""

    rule: str
    model: str
    files: tuple[str, ...]
    gpu: int
    mem_mb: int
    minutes: int


def job(rule: str, text: str) -> Job:
    wildcards = re.search(r"wildcards: .*?\bmodel=([\w-]+)", text)
    asked = {name: re.search(rf"resources: .*\b{name}=(\d+)", text) for name in ("gpu", "mem_mb", "runtime")}
    numbers = {name: int(found[1]) if found else 0 for name, found in asked.items()}
    files = re.search(r"output: (.*)", text)
    named = tuple(files[1].split(", ")) if files else ()
    return Job(rule, wildcards[1] if wildcards else "", named, numbers["gpu"], numbers["mem_mb"], numbers["runtime"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> list[Job]:
    """All jobs behind every result of both models, as `snakemake --profile slurm` plans them."""
    targets = [f"results/mmneuron/{model}/{file}" for model in ("llava", "blip") for file in (*PUBLISHED, *OURS)]
    return [job(*one) for one in jobs(planned(tmp_path_factory.mktemp("all"), *targets, options=CLUSTER))]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["llava", "blip"])
def test_every_published_file_comes_out_of_one_job(model, cluster):
    made = Counter(file for one in cluster for file in one.files)
    for file in (*PUBLISHED, *OURS):
        assert made[f"results/mmneuron/{model}/{file}"] == 1, file


@pytest.mark.slow
def test_both_models_have_the_same_jobs(cluster):
    both = [Counter(one.rule for one in cluster if one.model == model) for model in ("llava", "blip")]
    assert both[0] == both[1]
    split = {rule for rule, count in both[0].items() if count % 5 == 0}
    # What needs a model runs domain by domain, the map of the pictures apart.
    assert GPU - split == {"mmneuron_embed"}


@pytest.mark.slow
def test_every_job_says_what_it_needs_and_only_those_with_a_model_take_a_gpu(cluster):
    for one in cluster:
        assert one.mem_mb >= 1000 and one.minutes >= 10, one
        assert one.gpu == (one.rule in GPU), one
    assert {one.rule for one in cluster if one.gpu} == GPU


@pytest.mark.slow
def test_the_largest_model_fits_into_the_memory(cluster):
    # 7.914 billion parameters of InstructBLIP, four bytes each, and half as much again.
    largest = 7.914e9 * 4
    assert {one.mem_mb for one in cluster if one.gpu} == {48_000}
    assert 1.5 * largest < 48_000e6


@pytest.mark.slow
def test_the_documents_state_what_the_jobs_ask_for(cluster):
    asked: dict[str, dict[str, set[int]]] = {}
    for one in cluster:
        if one.gpu:
            asked.setdefault(one.rule, {}).setdefault(one.model, set()).add(one.minutes)
    text = (ROOT / "docs" / "mmneuron.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\d+) \| (\d+) \|$", text, flags=re.M)
    told = {rule: {"llava": {int(llava)}, "blip": {int(blip)}} for rule, llava, blip in rows}
    assert told == asked


@pytest.mark.slow
def test_a_recording_fits_its_time_with_the_budget_of_the_released_code(cluster):
    # At most 44 pictures of LLaVA-NeXT fill it (2.2), a quarter of them per job.
    (minutes,) = {one.minutes for one in cluster if one.rule == "capture_shard"}
    assert minutes > START + MARGIN * (44 / 4) * 42 / 156 / 60
