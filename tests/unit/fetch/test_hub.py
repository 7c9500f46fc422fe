import hashlib

import pytest
from doubles import COMMIT, names

from vlmscope.errors import VlmscopeError
from vlmscope.fetch import hub


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


def test_a_checkpoint_of_pickles_alone_is_refused(fake_hub, tmp_path):
    fake_hub.repository |= {"config.json": b"{}", "pytorch_model.bin": b"x"}
    with pytest.raises(VlmscopeError, match=r"no \.safetensors file"):
        hub.fetch_model(tmp_path, "some/model", "main")


def test_weights_of_another_revision_in_the_folder_are_refused(fake_hub, tmp_path):
    fake_hub.repository |= {"config.json": b"{}", "model.safetensors": b"x"}
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"old")
    with pytest.raises(VlmscopeError, match="another revision: model-00001"):
        hub.fetch_model(tmp_path, "some/model", "main")


@pytest.mark.parametrize("pattern", ["*", "*.bin", "*.py", "data/*"])
def test_patterns_that_let_programs_in_are_refused(tmp_path, pattern):
    with pytest.raises(VlmscopeError, match="never fetched"):
        hub.hub("some/data", "main", tmp_path, [pattern])


def test_a_hub_out_of_reach_is_named(fake_hub, tmp_path):
    with pytest.raises(VlmscopeError, match="does not hand this out: no network") as caught:
        hub.hub("some/data", "main", tmp_path, ["*.parquet"])
    assert caught.value.where == "some/data at main"
