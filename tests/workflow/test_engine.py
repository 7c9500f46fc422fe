"""What the engine says of the workflow: lint, layout, graph, plan, report, logs, profiles."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest
import yaml
from checkout import ALL, EVERYTHING, ROOT, SMALL, TABLE, Checkout, job_stats

from vlmscope import config

REPORT_CONFIG = "results/report/config.yaml"
OF_MMNEURON = ("generate", "generate_masked", "perturb", "vary", "lens", "embed", "examples")
WITH_MODEL = {"capture_shard", *(f"mmneuron_{step}" for step in OF_MMNEURON)}


def tracked(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, text=True, capture_output=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return done.stdout.splitlines()


# ---- how it is written -------------------------------------------------------------------------------------------


def test_lint_has_nothing_to_say(finished):
    done = finished.run("--lint", overlays=(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_formatted():
    # House order of directives (tests/test_architecture.py) instead of the formatter's.
    layout = ("--no-sort", "--line-length", "120")
    command = [str(Path(sys.executable).with_name("snakefmt")), *layout, "--check", "Snakefile", "rules"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- graph and plan ----------------------------------------------------------------------------------------------


def test_the_graph_is_all_that_stands_on_standard_output(finished):
    graph = finished.run(TABLE, "--dag").stdout
    assert graph.startswith("digraph snakemake_dag {")
    assert graph.rstrip().endswith("}")
    assert 'label = "mmneuron_table2' in graph


def test_the_graph_can_be_drawn(finished):
    if not shutil.which("dot"):
        assert os.environ.get("CI") != "true", "CI must install graphviz"
        pytest.skip("graphviz (dot) is not installed")
    graph = finished.run(TABLE, "--dag").stdout
    drawn = subprocess.run(["dot", "-Tsvg"], input=graph, text=True, capture_output=True)
    assert drawn.returncode == 0, drawn.stderr
    assert not drawn.stderr
    assert "<svg" in drawn.stdout
    assert "mmneuron_table2" in drawn.stdout


def test_the_default_target_makes_the_headline_of_each_systems_first_model(finished):
    done = finished.run("-n", "--forceall")
    planned, run = job_stats(done), config.default().run
    for rule in ("mmneuron_table2", "mm_neurons_gallery", "xl_vlms_cox", "llava_interp_knockout_tables"):
        assert planned[rule] == 1, rule
    assert "multimodal_sae_score" in planned and "xl_vlms_learned_train" not in planned
    for result in (*ALL, REPORT_CONFIG):
        assert result in done.stdout + done.stderr
    assert f"results/mmneuron/{run.mmneuron[1]}/" not in done.stdout + done.stderr


def test_everything_is_every_result_of_every_model(finished):
    planned, models = job_stats(finished.run("everything", "-n", "--forceall")), config.default().run.mmneuron
    for rule in ("table1", "table2", "effects", "variations", "stability", "stages", "pca", "metrics", "page"):
        assert planned[f"mmneuron_{rule}"] == len(models), rule
    assert planned["xl_vlms_learned_train"] == 1


def test_a_manifest_lists_the_results_of_one_model(finished):
    target = "results/mmneuron/blip/manifest.json"
    planned = job_stats(finished.run(target, "-n", "--forceall"))
    assert planned["target_manifest"] == planned["mmneuron_table2"] == planned["mmneuron_page"] == 1


# ---- what a run leaves -------------------------------------------------------------------------------------------


def jobs_of(checkout: Checkout) -> Iterator[tuple[str, dict[str, str]]]:
    """Rule, log and benchmark of each job, as the engine tells them for a run from nothing."""
    done = checkout.run(*EVERYTHING, "-n", "--forceall")
    block = r"^ *(?:local)?rule (\w+):\n((?: +\w+: .*\n)+)"
    for rule, lines in re.findall(block, done.stdout + done.stderr, flags=re.M):
        yield rule, dict(re.findall(r"^ +(log|benchmark): (.*)$", lines, flags=re.M))


def test_every_job_left_a_log_and_every_model_job_a_benchmark(everything):
    jobs = list(jobs_of(everything))
    assert {"data_draw", "mmneuron_table2", *WITH_MODEL} <= {rule for rule, _ in jobs}
    for rule, files in jobs:
        assert (everything.folder / files["log"]).is_file(), files["log"]
        asks_for_a_gpu = rule in WITH_MODEL
        assert ("benchmark" in files) == asks_for_a_gpu, rule
        if asks_for_a_gpu:
            head, row = (everything.folder / files["benchmark"]).read_text(encoding="utf-8").splitlines()
            assert head.startswith("s\t") and float(row.split("\t")[0]) > 0


def test_no_part_of_a_file_is_left(finished):
    assert not list((finished.folder / "results").rglob("*.part"))


def test_the_report_is_one_page_with_table_and_caption(finished, tmp_path):
    page = tmp_path / "report.html"
    finished.run(*ALL, "--report", str(page))
    text = page.read_text(encoding="utf-8")
    start = text.index(f'"{TABLE}": ') + len(f'"{TABLE}": ')
    entry, _ = json.JSONDecoder().raw_decode(text, start)
    assert base64.b64decode(entry["data_uri"].split("base64,")[1]) == finished.read(TABLE)
    assert "when each domain's own neurons are set to zero" in entry["caption"]
    assert "<strong>llava</strong>" in entry["caption"]
    # Self-contained: nothing that a browser would load from elsewhere.
    assert not re.findall(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"', text)


@pytest.fixture(scope="module")
def effective(finished):
    finished.run(REPORT_CONFIG, "--cores", "1")
    return yaml.safe_load(finished.read(REPORT_CONFIG))


def test_the_configuration_that_took_effect_is_written_down(finished, effective):
    small = yaml.safe_load((finished.folder / SMALL).read_text(encoding="utf-8"))
    base = yaml.safe_load((finished.folder / "config.yaml").read_text(encoding="utf-8"))
    assert config.plain(config.resolve(effective)) == effective
    assert effective == config.plain(config.resolve(merged(base, small)))
    assert effective["captures"]["domain_counts"]["samples"] == small["captures"]["domain_counts"]["samples"] == 12


def merged(base: dict, above: dict) -> dict:
    """As Snakemake lays one configuration over another: mappings merge, lists replace."""
    both = {**base, **above}
    for key in base.keys() & above.keys():
        if isinstance(base[key], dict) and isinstance(above[key], dict):
            both[key] = merged(base[key], above[key])
    return both


# ---- profiles ----------------------------------------------------------------------------------------------------


def test_profiles_stand_in_folders_of_their_own_and_are_tracked():
    assert {path.name for path in (ROOT / "profiles").iterdir()} == {"default", "slurm", "paper"}
    files = tracked("ls-files", "profiles")
    for name in ("default", "slurm", "paper"):
        assert f"profiles/{name}/config.yaml" in files


def test_the_link_to_the_cluster_profile_is_relative_and_tracked():
    link = ROOT / "slurm"
    assert link.is_symlink()
    assert os.readlink(link) == "profiles/slurm"
    assert (link / "config.yaml").is_file()
    assert [line.split()[0] for line in tracked("ls-files", "-s", "slurm")] == ["120000"]


def test_profiles_name_nothing_outside_of_the_checkout():
    for path in (ROOT / "profiles").rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(^|[\s\"'=])(/|~/)\w", re.sub(r"#.*", "", text)), path


# ---- the notebook ------------------------------------------------------------------------------------------------


def outputs(notebook: nbformat.NotebookNode) -> str:
    """What its cells printed and showed as text."""
    shown = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return "\n".join(one.get("text") or one.get("data", {}).get("text/plain", "") for one in shown)


def test_the_tour_reads_what_is_there_and_says_how_the_rest_is_made(finished):
    notebook = nbformat.read(finished.folder / "notebooks" / "tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without its outputs"
    place = {"metadata": {"path": str(finished.folder / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=300, resources=place).execute()
    text = outputs(notebook)
    accuracy = finished.read(TABLE).decode().splitlines()[1].split(",")[3]
    assert accuracy in text and "<Figure" in text
    assert "not made yet: snakemake results/xl_vlms/llava15/cox_table1.csv" in text
    assert "table2.csv" not in text
