"""The plan at paper scale, built without a network and without a file of the benchmarks."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from vlmscope import config
from vlmscope.models.convert.recipe import recipe

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
    assert {one.source for one in paper.datasets.values()} == {"download"}
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


def test_the_overlay_only_says_what_differs_from_the_default():
    default = dict(leaves(config.plain(config.default())))
    for path, value in leaves(overlay()):
        # Models stand there whole, so that a checkpoint can be used that has no embedded counterpart.
        if path[0] == "models" and path[1] != "llava":
            assert path[2] in config.Model.model_fields
            continue
        assert path in default, f"{'.'.join(path)} is no key of the default"
        assert value != default[path], f"{'.'.join(path)} repeats the default"


def planned(folder: Path, *targets: str) -> str:
    """What `snakemake -n` prints; a proxy that nobody answers stands for the missing network."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    settings = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--config", "scale=paper", "--", *targets]
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
