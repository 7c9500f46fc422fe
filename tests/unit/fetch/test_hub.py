import hashlib
import shutil
import types

import pytest
from doubles import COMMIT, names

from vlmscope.errors import VlmscopeError
from vlmscope.fetch import hub

BIN = "pytorch_model*.bin"


def test_a_checkpoint_comes_at_its_commit_without_pickles_and_programs(fake_hub, tmp_path):
    fake_hub.repository |= dict.fromkeys(
        ["model.safetensors", "config.json", "tokenizer.model", "merges.txt", "pytorch_model.bin", "run.py", "x.pt"],
        b"x",
    )
    got = hub.fetch_model(tmp_path / "hub", "some/model", "main")
    assert names(tmp_path / "hub") == ["config.json", "merges.txt", "model.safetensors", "tokenizer.model"]
    assert fake_hub.asked[0][:3] == ("some/model", "model", COMMIT)
    assert (got["commit"], got["revision"], got["checkpoint"]) == (COMMIT, "main", "some/model")
    assert got["files"]["config.json"] == {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    assert "beside" not in got


def test_weights_for_other_programs_stay_where_they_are(fake_hub, tmp_path):
    kept = ["config.json", "model.safetensors", "qformer_tokenizer/tokenizer.json"]
    others = [
        *("consolidated.safetensors", "consolidated.00.pth", "model.fp16.safetensors", "original/params.json"),
        *("flax_model.msgpack", "tf_model.h5", "onnx/config.json", "onnx/model.safetensors", "part/model.safetensors"),
    ]
    fake_hub.repository |= dict.fromkeys([*kept, *others], b"x")
    assert sorted(hub.fetch_model(tmp_path, "some/model", "main")["files"]) == kept


def test_names_of_tables_are_taken_as_they_are(fake_hub, tmp_path):
    fake_hub.repository |= {"tf_records/original/train.parquet": b"x"}
    assert list(hub.hub("some/data", "main", tmp_path, ["*.parquet"])["files"]) == ["tf_records/original/train.parquet"]


def test_pickles_come_only_when_a_converter_asks_for_them(fake_hub, tmp_path):
    fake_hub.repository |= dict.fromkeys(
        ["config.json", "pytorch_model-00001-of-00001.bin", "training_args.bin", "optimizer.pt", "model.py"], b"x"
    )
    got = hub.fetch_model(tmp_path, "some/model", "main", [BIN])
    assert sorted(got["files"]) == ["config.json", "pytorch_model-00001-of-00001.bin"]
    with pytest.raises(VlmscopeError, match=r"no \.safetensors file") as caught:
        hub.fetch_model(tmp_path / "other", "some/model", "main")
    assert "official" in caught.value.instead


def test_what_a_converter_reads_too_lies_beside(fake_hub, tmp_path):
    fake_hub.repository |= dict.fromkeys(["config.json", "pytorch_model.bin", "model.safetensors"], b"x")
    got = hub.fetch_model(tmp_path, "a/b", "main", [BIN], {"tower": ["c/d", "v1", ["model.safetensors"]]})
    assert [one[0] for one in fake_hub.asked] == ["a/b", "c/d"]
    assert got["beside"]["tower"]["repo"] == "c/d" and list(got["beside"]["tower"]["files"]) == ["model.safetensors"]
    assert names(tmp_path) == ["config.json", "pytorch_model.bin", "tower"]


def test_shards_with_a_second_ending_get_their_proper_name(fake_hub, tmp_path):
    fake_hub.repository |= {"config.json": b"{}", "model-00001-of-00001.safetensors.md": b"weights"}
    for _ in range(2):
        hub.fetch_model(tmp_path, "some/model", "main")
        assert (tmp_path / "model-00001-of-00001.safetensors").read_bytes() == b"weights"


def test_a_checkpoint_without_the_weights_asked_for_is_refused(fake_hub, tmp_path):
    fake_hub.repository |= {"config.json": b"{}", "model.safetensors": b"x"}
    with pytest.raises(VlmscopeError, match="no pickled weights") as caught:
        hub.fetch_model(tmp_path, "some/model", "main", [BIN])
    assert caught.value.instead == "models.*.source: hub"


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_weights_of_another_revision_in_the_folder_are_refused(fake_hub, tmp_path, ending):
    fake_hub.repository |= {"config.json": b"{}", f"model.{ending}": b"x"}
    (tmp_path / f"model-00001-of-00002.{ending}").write_bytes(b"old")
    with pytest.raises(VlmscopeError, match="another revision: model-00001"):
        hub.fetch_model(tmp_path, "some/model", "main", ["model.bin"] if ending == "bin" else [])


def test_a_full_disk_is_told_before_the_first_byte(fake_hub, tmp_path, monkeypatch):
    fake_hub.repository |= {"config.json": b"{}", "model.safetensors": bytes(5000)}
    space = types.SimpleNamespace(free=4000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: space)
    with pytest.raises(VlmscopeError, match=r"needs 0\.0 GB more and 0\.0 GB are free") as caught:
        hub.fetch_model(tmp_path / "new" / "hub", "some/model", "main")
    assert "make room" in caught.value.instead and not fake_hub.asked
    # What an earlier try left is not needed again.
    part = tmp_path / "new" / "hub" / ".cache" / "huggingface" / "download" / "x.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1500))
    hub.fetch_model(tmp_path / "new" / "hub", "some/model", "main")
    space.free = 0
    hub.fetch_model(tmp_path / "new" / "hub", "some/model", "main")


@pytest.mark.parametrize(("damage", "told"), [(b"other!!", "sha256"), (b"cut", "size")])
def test_a_file_that_is_not_the_published_one_is_refused(fake_hub, tmp_path, monkeypatch, damage, told):
    fake_hub.repository |= {"config.json": b"{}", "model.safetensors": b"weights"}
    fetch = fake_hub.fetch

    def fetch_and_damage(*args, **options):
        fetch(*args, **options)
        (tmp_path / "model.safetensors").write_bytes(damage)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch_and_damage)
    with pytest.raises(VlmscopeError, match=f"not the one that was published: its {told}"):
        hub.fetch_model(tmp_path, "some/model", "main")


@pytest.mark.parametrize("pattern", ["*", "*.bin", "*.py", "data/*"])
def test_patterns_that_let_programs_in_are_refused(tmp_path, pattern):
    with pytest.raises(VlmscopeError, match="never fetched"):
        hub.hub("some/data", "main", tmp_path, [pattern])


def test_a_hub_out_of_reach_is_named(fake_hub, tmp_path):
    with pytest.raises(VlmscopeError, match="does not hand this out: no network") as caught:
        hub.hub("some/data", "main", tmp_path, ["*.parquet"])
    assert caught.value.where == "some/data at main"
