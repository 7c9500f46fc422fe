import hashlib
import json
import threading

import pytest
from doubles import COMMIT, zipped

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.fetch import benchmarks, web
from vlmscope.raw import RAW

TABLE = """
[vqav2]
title = "Some benchmark"
version = "2"
homepage = "https://example.org"
licence = "CC0"

[[vqav2.files]]
splits = ["train"]
path = "q.zip"
url = "{url}"
sha256 = "{sha256}"
unpack = "pictures"
members = ["*.jpg"]
flat = true

[[vqav2.files]]
splits = ["val"]
path = "evaluation/val.zip"
manual = "https://example.org/account"
unpack = "evaluation"
"""
SPLITS = {"train": "train", "val": "val"}


@pytest.fixture
def table(server, tmp_path):
    packed = zipped(tmp_path / "q.zip", {"deep/1.jpg": b"one"}).read_bytes()
    server.files["q.zip"] = packed
    path = tmp_path / "sources.toml"
    path.write_text(TABLE.format(url=server.url("q.zip"), sha256=hashlib.sha256(packed).hexdigest()), encoding="utf-8")
    return path


def place_by_hand(folder):
    (folder / "evaluation").mkdir(parents=True)
    return zipped(folder / "evaluation" / "val.zip", {"2.jpg": b"two"})


def test_a_benchmark_is_fetched_unpacked_and_described(server, table, tmp_path):
    root = tmp_path / "raw"
    by_hand = place_by_hand(root)
    got = benchmarks.fetch_dataset("vqav2", root, SPLITS, table)
    assert (root / "pictures" / "1.jpg").read_bytes() == b"one"
    assert (root / "evaluation" / "2.jpg").read_bytes() == b"two"
    assert (got["format"], got["kind"], got["source"], got["root"]) == (RAW, "vqav2", "download", str(root))
    assert (got["title"], got["version"], got["licence"]) == ("Some benchmark", "2", "CC0")
    assert got["fetched"]["q.zip"]["url"] == server.url("q.zip")
    assert got["fetched"]["evaluation/val.zip"]["sha256"] == hashlib.sha256(by_hand.read_bytes()).hexdigest()
    assert got["files"] == 2 and len(got["digest"]) == 32
    json.dumps(got)


def test_files_behind_an_account_are_asked_for_by_place_before_anything_is_fetched(server, table, tmp_path):
    root = tmp_path / "raw"
    with pytest.raises(VlmscopeError, match="handed out by its authors") as caught:
        benchmarks.fetch_dataset("vqav2", root, SPLITS, table)
    assert str(root / "evaluation" / "val.zip") in str(caught.value)
    assert "https://example.org/account" in str(caught.value)
    assert server.asked == []


def test_a_split_that_is_not_wanted_is_not_fetched(server, table, tmp_path):
    got = benchmarks.fetch_dataset("vqav2", tmp_path / "raw", {"train": "train"}, table)
    assert list(got["fetched"]) == ["q.zip"]


def test_a_second_run_asks_for_nothing_and_says_the_same(server, table, tmp_path, monkeypatch):
    root = tmp_path / "raw"
    place_by_hand(root)
    first = benchmarks.fetch_dataset("vqav2", root, SPLITS, table)
    server.asked.clear()
    monkeypatch.setattr(web, "measure", lambda path: pytest.fail("measured again"))
    assert benchmarks.fetch_dataset("vqav2", root, SPLITS, table) == first
    # Once unpacked, archives may go.
    (root / "q.zip").unlink()
    (root / "evaluation" / "val.zip").unlink()
    assert benchmarks.fetch_dataset("vqav2", root, SPLITS, table) == first
    assert server.asked == []


def test_a_file_that_changed_on_disk_is_compared_again(server, table, tmp_path):
    root = tmp_path / "raw"
    benchmarks.fetch_dataset("vqav2", root, {"train": "train"}, table)
    (root / "q.zip").write_bytes(b"something else")
    with pytest.raises(VlmscopeError, match="its sha256 is"):
        benchmarks.fetch_dataset("vqav2", root, {"train": "train"}, table)


def test_an_unknown_benchmark_or_split_is_refused(table, tmp_path):
    with pytest.raises(VlmscopeError, match="does not know where gqa"):
        benchmarks.fetch_dataset("gqa", tmp_path, SPLITS, table)
    with pytest.raises(VlmscopeError, match="no files for the split test"):
        benchmarks.fetch_dataset("vqav2", tmp_path, {"val": "test"}, table)


def test_tables_of_the_hub_are_described_by_their_address(fake_hub, tmp_path):
    fake_hub.repository |= {"data/validation-00000-of-00001.parquet": b"v", "data/train-00000-of-00001.parquet": b"t"}
    got = benchmarks.fetch_dataset("docvqa", tmp_path, {"val": "val"})
    (name,) = got["fetched"]
    assert name == "data/validation-00000-of-00001.parquet"
    assert got["fetched"][name]["url"].endswith(f"/resolve/{COMMIT}/{name}")


@pytest.mark.parametrize("kind", base.kinds())
def test_the_table_covers_every_split_of_every_benchmark(kind):
    about, known = benchmarks.sources()[kind], base.load(kind).SPLITS
    assert set(known) == {split for entry in about["files"] for split in entry["splits"]}
    assert all(about[key] for key in ("title", "version", "homepage", "licence"))


@pytest.mark.parametrize("kind", base.kinds())
def test_entries_of_the_table_are_well_formed(kind):
    keys = {"splits", "path", "url", "manual", "hub", "revision", "patterns", "size", "sha256", "md5", "unpack", "into"}
    about = benchmarks.sources()[kind]
    for entry in about["files"]:
        assert set(entry) <= keys | {"members", "flat"}
        assert len({"url", "manual", "hub"} & set(entry)) == 1
        assert entry.get("url", "https://").startswith(("https://", "http://images.cocodataset.org/"))
        # What comes without encryption must be compared.
        assert entry.get("url", "https://").startswith("https://") or "md5" in entry
        assert len(entry.get("sha256", "0" * 64)) == 64 and len(entry.get("md5", "0" * 32)) == 32
        # A branch stands for a commit where the version says that none is known.
        assert len(entry.get("revision", "0" * 40)) == 40 or about["version"].startswith("main branch")


def test_a_section_may_be_like_another(tmp_path):
    (tmp_path / "t.toml").write_text('[one]\ntitle = "One"\nversion = "1"\n[two]\nlike = "one"\ntitle = "Two"\n')
    assert benchmarks.sources(tmp_path / "t.toml")["two"] == {"title": "Two", "version": "1", "like": "one"}
    assert benchmarks.sources()["vqav2_questions"]["files"] == benchmarks.sources()["vqav2"]["files"]


def test_parts_from_several_repositories_lie_in_folders_of_their_own(fake_hub, tmp_path):
    fake_hub.repository |= {"data/test-00000-of-00001.parquet": b"t", "data/val-00000-of-00001.parquet": b"v"}
    got = benchmarks.fetch_dataset("sae_pictures", tmp_path, {"train": "mme", "val": "coco2017"})
    names = {"mme/data/test-00000-of-00001.parquet", "coco2017/data/val-00000-of-00001.parquet"}
    assert set(got["fetched"]) == names and all((tmp_path / name).is_file() for name in names)
    assert all(one["url"].endswith(name.partition("/")[2]) for name, one in got["fetched"].items())


def test_several_splits_are_fetched_at_once(server, table, tmp_path):
    root = tmp_path / "raw"
    place_by_hand(root)
    joined = {"train": "+".join(dict.fromkeys(SPLITS.values()))}
    together, apart = (benchmarks.fetch_dataset("vqav2", root, splits, table) for splits in (joined, SPLITS))
    assert together == apart


def test_a_folder_that_is_being_filled_is_waited_for(server, table, tmp_path):
    root, done = tmp_path / "raw", []
    place_by_hand(root)
    with benchmarks._alone(root):
        other = threading.Thread(target=lambda: done.append(benchmarks.fetch_dataset("vqav2", root, SPLITS, table)))
        other.start()
        other.join(0.3)
        assert other.is_alive() and not done
    other.join(30)
    assert done[0]["kind"] == "vqav2"
