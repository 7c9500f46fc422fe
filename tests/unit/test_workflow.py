import json
import os
import re
import sys
from types import SimpleNamespace

import pytest

from vlmscope import config, workflow
from vlmscope.errors import VlmscopeError

NAMES = SimpleNamespace(model="llava", domain="ad", dataset="rs")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small checkout: a script that imports a chain of modules, and one module beside it."""
    sources = {
        "scripts/make.py": "from vlmscope.a import one\none()\n",
        "vlmscope/__init__.py": "",
        "vlmscope/a.py": '"""A."""\nfrom vlmscope.deep import b\n\ndef one():\n    """One."""\n    return b.two()\n',
        "vlmscope/deep/__init__.py": "",
        "vlmscope/deep/b.py": "import json\n\ndef two():\n    import vlmscope.late\n    return 2\n",
        "vlmscope/late.py": "X = 1\n",
        "vlmscope/beside.py": "Y = 1\n",
        "vlmscope/kinds/__init__.py": "",
        "vlmscope/kinds/cat.py": "Z = 1\n",
        "vlmscope/kinds/dog.py": "Z = 2\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(workflow, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget():
    """What a new process would not know."""
    for cached in (workflow.closure_digest, workflow.imports, workflow._skeleton):
        cached.cache_clear()


def digest(*also, **lookup):
    forget()
    return workflow.code("make", *also, lookup=lookup)(SimpleNamespace(dataset="x", model="y"))


def edit(project, name, before, after):
    text = (project / name).read_text()
    assert before in text
    (project / name).write_text(text.replace(before, after))


def test_the_closure_has_every_module_that_is_reached_and_no_other(project):
    assert workflow.closure("scripts/make.py") == [
        "scripts/make.py",
        "vlmscope/__init__.py",
        "vlmscope/a.py",
        "vlmscope/deep/__init__.py",
        "vlmscope/deep/b.py",
        "vlmscope/late.py",
    ]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("scripts/make.py", "one()\n", "one(); one()\n"),
        ("vlmscope/a.py", "b.two()", "b.two() + 1"),
        ("vlmscope/deep/b.py", "return 2", "return 3"),
        ("vlmscope/late.py", "X = 1", "X = 2"),
    ],
)
def test_an_edit_anywhere_in_the_closure_changes_the_digest(project, name, before, after):
    first = digest()
    edit(project, name, before, after)
    assert digest() != first
    edit(project, name, after, before)
    assert digest() == first


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("vlmscope/beside.py", "Y = 1", "Y = 2"),
        ("vlmscope/late.py", "X = 1", "X  =  1  # the same"),
        ("vlmscope/a.py", '"""One."""', '"""Another sentence."""'),
        ("vlmscope/a.py", '"""A."""', '"""Another module text."""'),
    ],
)
def test_other_files_comments_and_docstrings_do_not_count(project, name, before, after):
    first = digest()
    edit(project, name, before, after)
    assert digest() == first


def test_a_new_file_of_the_closure_changes_the_digest(project):
    first = digest()
    edit(project, "vlmscope/late.py", "X = 1", "from vlmscope import beside\nX = 1")
    second = digest()
    edit(project, "vlmscope/beside.py", "Y = 1", "Y = 2")
    assert len({first, second, digest()}) == 3


def test_modules_found_by_name_count_when_the_job_uses_them(project):
    also = "vlmscope.kinds.{kind:dataset}"
    cat, dog = digest(also, kind={"x": "cat"}), digest(also, kind={"x": "dog"})
    assert cat != dog
    edit(project, "vlmscope/kinds/dog.py", "Z = 2", "Z = 3")
    assert digest(also, kind={"x": "cat"}) == cat and digest(also, kind={"x": "dog"}) != dog


def test_the_checkout_itself_has_a_digest_for_every_script():
    forget()
    scripts = sorted(path.stem for path in (workflow.ROOT / "scripts").glob("*.py"))
    digests = [workflow.code(script)(NAMES) for script in scripts]
    assert len(set(digests)) == len(scripts) and all(re.fullmatch(r"[0-9a-f]{16}", one) for one in digests)


def test_a_model_class_named_by_its_dotted_path_is_in_the_closure():
    assert "vlmscope/models/owl2/modeling.py" in workflow.closure("vlmscope/models/mplug_owl2.py")
    assert "vlmscope/models/molmo_hf/modeling.py" in workflow.closure("vlmscope/models/molmo.py")


def test_masking_is_not_in_the_closure_of_untouched_captures():
    reached = workflow.closure("scripts/capture_shard.py")
    assert "vlmscope/capture/taps.py" in reached
    assert not [path for path in reached if "mmneuron" in path or path.endswith("config.py")]


# ---- settings ----------------------------------------------------------------------------------------------------

SETTINGS = workflow.Settings(config.default())


def test_settings_hold_the_named_keys_alone():
    text = SETTINGS(rate="mmneuron.identify.top_rate", kind="datasets.{domain}.kind")(NAMES)
    assert text == '{"kind":"lingoqa","rate":0.2}'


def test_settings_change_with_a_value_they_hold_and_with_no_other():
    tree = config.plain(config.default())
    tree["mmneuron"]["identify"]["top_rate"] = 0.1
    other = workflow.Settings(config.resolve(tree))
    for path, same in (("mmneuron.identify", False), ("mmneuron.generate", True)):
        assert (other(x=path)(NAMES) == SETTINGS(x=path)(NAMES)) == same


def test_the_whole_configuration_comes_back():
    assert json.loads(SETTINGS.all(NAMES)) == config.plain(config.default())


@pytest.mark.parametrize("path", ["mmneuron.identfy", "models.lava.family", "scale.x"])
def test_a_path_that_leads_nowhere_is_named(path):
    with pytest.raises(VlmscopeError, match=f"no '{path}'"):
        SETTINGS(x=path)(NAMES)


def test_patterns_are_filled_from_the_wildcards():
    assert workflow.fill("a.{model}.{dataset}.{model}", NAMES) == "a.llava.rs.llava"


# ---- wildcards, resources, environment ---------------------------------------------------------------------------


def test_a_constraint_meets_its_names_alone():
    pattern = re.compile(workflow.one_of(["a.b", "c+"]))
    assert [bool(pattern.fullmatch(text)) for text in ("a.b", "c+", "axb", "cc", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    nothing = re.compile(workflow.one_of([]))
    assert not any(nothing.fullmatch(text) for text in ("", "a"))


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_demands_grow_with_the_attempt(attempt):
    found = workflow.Resources("paper").gpu(minutes=30, mem_gb=40, batch=4)
    assert (found["gpu"](NAMES), found["device"](NAMES), found["batch"]) == (1, "auto", 4)
    assert found["mem_mb"](NAMES, attempt) == 40_000 * attempt
    assert found["runtime"](NAMES, attempt) == 30 * attempt
    assert workflow.Resources("paper").cpu(mem_gb=1.5)["mem_mb"](NAMES, attempt) == 1500 * attempt


def test_tiny_models_ask_for_little_but_still_for_a_gpu():
    found = workflow.Resources("tiny").gpu(minutes=300)
    assert found["gpu"](NAMES) == 1 and found["mem_mb"](NAMES, 1) <= 4000 and found["runtime"](NAMES, 1) <= 10
    assert (workflow.Resources("tiny").threads(8), workflow.Resources("paper").threads(8)) == (1, 8)


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1), ("auto", 1)])
def test_a_model_that_is_to_run_on_the_cpu_asks_for_no_gpu(device, gpus):
    found = workflow.Resources("paper", {NAMES.model: device, "other": "auto"}).gpu(minutes=30)
    assert (found["gpu"](NAMES), found["device"](NAMES)) == (gpus, device)
    assert found["gpu"](SimpleNamespace(model="other")) == found["gpu"](SimpleNamespace(dataset="ad")) == 1


def test_the_library_is_found_by_jobs_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/other")
    monkeypatch.setattr(sys, "path", ["/first"])
    workflow.expose(tmp_path)
    workflow.expose(tmp_path)
    assert os.environ["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/other"
    assert sys.path == [str(tmp_path), "/first"]
