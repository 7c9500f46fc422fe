"""What made a table is told beside it, and nothing of the machine that made it."""

import json

import pytest

from vlmscope import meta
from vlmscope.errors import VlmscopeError
from vlmscope.store import files

MODEL = {key: f"the {key}" for key in meta.CHECKPOINT} | {"format": "vlmscope.model/1", "folder": "/secret/weights"}
RAW = {"format": "vlmscope.raw/1", "kind": "sbu", "source": "drawn", "digest": "d", "root": "/secret", "files": 3}


@pytest.fixture
def made(tmp_path):
    """A table and what it was made from: manifests, other JSON, a table."""
    contents = {"models/m/model.json": MODEL, "data/sbu/raw.json": RAW, "list.json": [1], "other.json": {"n": 1}}
    for name, content in contents.items():
        files.write_json(content, tmp_path / name)
    files.write_text("sample\n", tmp_path / "captions.csv")
    files.write_text("k,score\n1,0.5\n", tmp_path / "table.csv")
    inputs = [str(tmp_path / name) for name in [*contents, "captions.csv"]]
    return str(tmp_path / "table.csv"), inputs


def told(made, **changes):
    table, inputs = made
    given = {"about": {"scale": "tiny", "label": "M"}, "settings": {"k": [1]}, "inputs": inputs, "code": "c0de"}
    return meta.describe(table, **given | changes)


def test_a_table_s_companion_says_what_made_it(made):
    found = told(made, notes=["one"])
    assert set(found) == {
        *("scale", "label", "checkpoint", "data", "format", "table", "digest", "settings", "inputs", "code"),
        *("versions", "notes"),
    }
    assert found["checkpoint"] == {"m": {key: f"the {key}" for key in meta.CHECKPOINT}}
    assert found["data"] == {"sbu": {"kind": "sbu", "source": "drawn", "digest": "d"}}
    assert (found["scale"], found["table"], found["code"], found["notes"]) == ("tiny", "table.csv", "c0de", ["one"])
    assert found["settings"] == {"k": [1]}
    assert "/secret" not in json.dumps(found)


def test_digests_are_those_of_the_bytes(made):
    table, inputs = made
    found = told(made)
    assert found["digest"] == files.digest(table)
    assert found["inputs"] == {path: files.digest(path) for path in inputs}
    files.write_text("other\n", inputs[-1])
    again = told(made)
    assert [path for path in inputs if found["inputs"][path] != again["inputs"][path]] == [inputs[-1]]


def test_an_input_that_is_named_twice_is_told_once(made):
    assert told(made, inputs=[*made[1], made[1][0]]) == told(made)


def test_without_manifests_nothing_is_said_of_models_and_data(made):
    assert not {"checkpoint", "data"} & set(told(made, inputs=made[1][2:]))


def test_it_is_written_from_what_the_job_was_given(made, tmp_path):
    table, inputs = made
    params = {"about": '{"scale": "tiny"}', "settings": '{"k": [1]}', "pair": "red-blue", "rows": [1], "code": "c0de"}
    meta.write(str(tmp_path / "t.meta.json"), table, params, inputs, notes=["one"])
    assert files.read_json(tmp_path / "t.meta.json") == meta.describe(
        table,
        about={"scale": "tiny"},
        settings={"k": [1], "pair": "red-blue", "rows": [1]},
        inputs=inputs,
        code="c0de",
        notes=["one"],
    )
    meta.write(str(tmp_path / "bare.meta.json"), table, {}, [])
    assert files.read_json(tmp_path / "bare.meta.json")["settings"] == {}


def test_a_damaged_manifest_is_named(made):
    files.write_text("{", made[1][0])
    with pytest.raises(VlmscopeError, match="not whole JSON"):
        told(made)


def test_versions_name_what_is_installed_alone(monkeypatch):
    assert {"python", *meta.PACKAGES} == set(meta.versions())
    monkeypatch.setattr(meta, "PACKAGES", ("numpy", "no_such_package"))
    assert set(meta.versions()) == {"python", "numpy"}


def test_a_listing_has_every_file_below_folders_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "results" / "mmneuron" / "llava"
    (home / "pages").mkdir(parents=True)
    (home / "table.csv").write_text("a,b\n")
    (home / "pages" / "one.html").write_text("<p>")
    paths = ["results/mmneuron/llava/table.csv", "results/mmneuron/llava/pages"]
    found = meta.listing("mmneuron", "llava", paths)
    assert {name: one["bytes"] for name, one in found["files"].items()} == {"table.csv": 4, "pages/one.html": 3}
    assert found["files"]["table.csv"]["digest"] == files.digest(home / "table.csv")
