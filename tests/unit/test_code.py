"""A job's code digest: what is in it, what is not, and what is kept of it."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import xxhash

from vlmscope import code

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
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    forget()
    yield tmp_path
    forget()


def forget():
    """What a new process would not know."""
    for cached in (code.closure_digest, code.imports, code.facts, code._there):
        cached.cache_clear()


def digest(*also, **lookup):
    forget()
    return code.code("make", *also, lookup=lookup)(SimpleNamespace(dataset="x", model="y"))


def edit(project, name, before, after):
    text = (project / name).read_text()
    assert before in text
    (project / name).write_text(text.replace(before, after))


def test_the_closure_has_every_module_that_is_reached_and_no_other(project):
    assert code.closure("scripts/make.py") == [
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


def test_a_table_beside_a_file_that_names_it_counts(project):
    (project / "vlmscope" / "published.toml").write_text("one = 1\n")
    first = digest()
    edit(project, "vlmscope/late.py", "X = 1", 'X = "published.toml"')
    second = digest()
    assert "vlmscope/published.toml" in code.closure("scripts/make.py")
    edit(project, "vlmscope/published.toml", "one = 1", "one = 2")
    assert len({first, second, digest()}) == 3


def test_published_numbers_are_in_the_code_of_the_tables_that_show_them():
    forget()
    assert "vlmscope/xl_vlms/steer/published.toml" in code.closure("scripts/xl_vlms_steer_tables.py")
    assert "vlmscope/xl_vlms/cox/published.toml" in code.closure("scripts/xl_vlms_cox.py")


def test_modules_found_by_name_count_when_the_job_uses_them(project):
    also = "vlmscope.kinds.{kind:dataset}"
    cat, dog = digest(also, kind={"x": "cat"}), digest(also, kind={"x": "dog"})
    assert cat != dog
    edit(project, "vlmscope/kinds/dog.py", "Z = 2", "Z = 3")
    assert digest(also, kind={"x": "cat"}) == cat and digest(also, kind={"x": "dog"}) != dog


def test_a_path_that_is_made_at_run_time_counts_as_the_package_it_begins_with(project):
    edit(project, "vlmscope/late.py", "X = 1", 'def kind(name):\n    return f"vlmscope.kinds.{name}"')
    forget()
    found = code.closure("scripts/make.py")
    assert [path for path in found if "kinds" in path] == ["vlmscope/kinds/__init__.py"]


def test_every_path_of_a_closure_is_a_plain_one():
    forget()
    reached = code.closure("scripts/capture_shard.py", "vlmscope/models/llava.py")
    assert "vlmscope/models/__init__.py" in reached
    assert [path for path in reached if str(Path(path)) != path] == []


def test_the_checkout_itself_has_a_digest_for_every_script():
    forget()
    scripts = sorted(path.stem for path in (code.ROOT / "scripts").glob("*.py"))
    digests = [code.code(script)(NAMES) for script in scripts]
    assert len(set(digests)) == len(scripts) and all(re.fullmatch(r"[0-9a-f]{16}", one) for one in digests)


def test_a_model_class_named_by_its_dotted_path_is_in_the_closure():
    assert "vlmscope/models/owl2/modeling.py" in code.closure("vlmscope/models/mplug_owl2.py")
    assert "vlmscope/models/molmo_hf/modeling.py" in code.closure("vlmscope/models/molmo.py")


def test_masking_is_not_in_the_closure_of_untouched_captures():
    reached = code.closure("scripts/capture_shard.py")
    assert "vlmscope/capture/taps.py" in reached
    assert not [path for path in reached if "mmneuron" in path or path.endswith("config.py")]


def test_what_a_file_says_is_kept_and_read_again(project):
    first = digest()
    kept = sorted((project / code.KEPT).iterdir())
    contents = {(project / path).read_bytes() for path in code.closure("scripts/make.py")}
    assert len(kept) == len(contents) and not any(one.suffix == ".part" for one in kept)
    source = (project / "vlmscope" / "late.py").read_bytes()
    modules, tables, skeleton = json.loads((project / code.KEPT / xxhash.xxh3_128_hexdigest(source)).read_text())
    assert modules == tables == [] and len(skeleton) == 64
    for one in kept:
        one.write_text(json.dumps([[], [], "00" * 32]))
    assert digest() != first, "the kept facts are what is read"


def test_settings_classes_are_in_the_code_of_the_report_alone():
    """What a job is told comes as params: an edit of a settings file must not run the models again."""
    scripts = sorted((code.ROOT / "scripts").glob("*.py"))
    reaching = [one.stem for one in scripts if "vlmscope/config.py" in code.closure(f"scripts/{one.name}")]
    assert reaching == ["report_site"]
