"""Conda environments: pins are those of the lock files, and what a rule's code imports is in its environment."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from vlmscope.code import ROOT, closure

ENVS = sorted((ROOT / "envs").glob("*.yaml"))
RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))

# Name on conda-forge -> name in the lock files, where they differ.
LOCK_NAMES = {
    "huggingface_hub": "huggingface-hub",
    "matplotlib-base": "matplotlib",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
}
# Imported name -> name on conda-forge, where they differ.
PACKAGES = {
    "PIL": "pillow",
    "matplotlib": "matplotlib-base",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "xxhash": "python-xxhash",
    "yaml": "pyyaml",
}
# Brought along by others or looked for only; neither is named in an environment.
INDIRECT = {"torchvision"}
# Imported inside functions that steps without a model do not call; tests/test_architecture.py keeps them there.
ONLY_WITH_A_MODEL = {"torch", "transformers"}


def locked() -> dict[str, str]:
    lines = [
        line
        for name in ("requirements.lock", "requirements-dev.lock")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
    ]
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def content(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def conda_lines(path: Path) -> list[str]:
    return [line for line in content(path)["dependencies"] if isinstance(line, str)]


def pip_lines(path: Path) -> list[str]:
    return [line for part in content(path)["dependencies"] if isinstance(part, dict) for line in part["pip"]]


def packages(path: Path) -> set[str]:
    return {line.split("=")[0] for line in conda_lines(path)}


# ---- the files themselves ----------------------------------------------------------------------------------------


def test_the_environments_are_there():
    assert {path.stem for path in ENVS} == {"cpu", "gpu", "dev"}


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_an_environment_has_name_channels_and_dependencies_only(path):
    found = content(path)
    assert list(found) == ["name", "channels", "dependencies"]
    assert found["name"] == f"vlmscope-{path.stem}"
    assert found["channels"] == ["conda-forge", "nodefaults"]
    assert {key for part in found["dependencies"] if isinstance(part, dict) for key in part} <= {"pip"}


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_every_pin_is_the_lock_s(path):
    lock = locked()
    for line in conda_lines(path):
        if line == "pip":
            continue
        assert re.fullmatch(r"[a-z0-9_-]+=[0-9][0-9.]*", line), f"{line}: write name=version"
        name, version = line.split("=")
        if name != "python":
            assert version == lock[LOCK_NAMES.get(name, name)], line
    for line in pip_lines(path):
        name, version = line.split("==")
        assert version == lock[name], line
    assert bool(pip_lines(path)) == ("pip" in packages(path))


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_python_is_the_one_that_the_lock_was_resolved_on(path):
    version = re.search(r"resolved on Python ([0-9.]+),", (ROOT / "requirements.lock").read_text())[1]
    assert f"python={version}" in conda_lines(path)


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_torchvision_stays_out(path):
    assert "torchvision" not in packages(path)
    assert "torchvision" not in locked()


def test_each_environment_contains_the_smaller_one():
    cpu, gpu, dev = (set(conda_lines(ROOT / "envs" / f"{name}.yaml")) for name in ("cpu", "gpu", "dev"))
    assert cpu < gpu < dev


def test_what_the_package_depends_on_is_in_the_model_environment():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.findall(r'^    "([a-z0-9-]+)>=', text.split("dependencies = [")[1].split("]")[0], flags=re.M)
    have = {LOCK_NAMES.get(name, name) for name in packages(ROOT / "envs" / "gpu.yaml")}
    assert wanted
    assert set(wanted) <= have


# ---- rules -------------------------------------------------------------------------------------------------------


def rules() -> list[tuple[str, str, list[str]]]:
    """Rule, environment file, entries of its code: its script and what the script finds by name at run time."""
    common = (ROOT / "rules" / "common.smk").read_text(encoding="utf-8")
    found = []
    for path in RULE_FILES:
        for block in re.split(r"^(?=(?:rule|checkpoint) \w+:)", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            conda = re.search(r"^    conda:\n +(\S+)$", block, flags=re.M)
            if not conda:
                continue
            script = re.search(r'^    script:\n +"\.\./(scripts/\w+\.py)"$', block, flags=re.M)[1]
            named = re.findall(r'"vlmscope\.(\w+)\.\{\w+:\w+\}"', block)
            entries = [script, *(str(one.relative_to(ROOT)) for folder in named for one in modules(folder))]
            text = conda[1] if conda[1].startswith('"') else re.search(rf"^{conda[1]} = .*$", common, flags=re.M)[0]
            name = re.match(r"\w+ (\w+)", block)[1]
            found += [(name, env, entries) for env in re.findall(r'"\.\./(envs/[^"]+)"', text)]
    return found


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / "vlmscope" / folder).glob("*.py"))


RULES = rules()


def imported(path: str) -> set[str]:
    """Foreign packages that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"vlmscope"}


def test_the_rules_were_understood():
    text = "".join(path.read_text(encoding="utf-8") for path in RULE_FILES)
    assert len({name for name, _, _ in RULES}) == len(re.findall(r"^    script:", text, flags=re.M)) > 10


@pytest.mark.parametrize(("rule", "env", "entries"), RULES, ids=[f"{rule}-{Path(env).stem}" for rule, env, _ in RULES])
def test_a_rule_s_environment_holds_what_its_code_imports(rule, env, entries):
    assert (ROOT / env).is_file()
    reached = [path for path in closure(*entries) if path.endswith(".py")]
    wanted = set().union(*(imported(path) for path in reached)) - INDIRECT
    if env == "envs/cpu.yaml":
        wanted -= ONLY_WITH_A_MODEL
    lacking = {PACKAGES.get(name, name) for name in wanted} - packages(ROOT / env)
    assert not lacking, f"{rule}: put {', '.join(sorted(lacking))} into {env}"
